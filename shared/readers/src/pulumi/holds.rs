//! What is lost with a resource of Pulumi's: what CloudFormation's table says of the same type, which goes by another name.

use crate::template;

/// Types of the provider `aws` that CloudFormation calls otherwise.
const OTHERWISE: [(&str, &str); 34] = [
    ("amp/workspace", "AWS::APS::Workspace"),
    ("backup/vault", "AWS::Backup::BackupVault"),
    ("cloudwatch/eventArchive", "AWS::Events::Archive"),
    ("cloudwatch/logGroup", "AWS::Logs::LogGroup"),
    ("cloudwatch/logStream", "AWS::Logs::LogStream"),
    ("cloudwatch/metricAlarm", "AWS::CloudWatch::Alarm"),
    ("docdb/cluster", "AWS::DocDB::DBCluster"),
    ("docdb/clusterInstance", "AWS::DocDB::DBInstance"),
    ("docdb/clusterSnapshot", "AWS::RDS::DBSnapshot"),
    ("ebs/snapshot", "AWS::RDS::DBSnapshot"),
    ("ebs/volume", "AWS::EC2::Volume"),
    ("elasticache/cluster", "AWS::ElastiCache::CacheCluster"),
    ("glue/catalogDatabase", "AWS::Glue::Database"),
    ("glue/catalogTable", "AWS::Glue::Table"),
    ("keyspaces/keyspace", "AWS::Cassandra::Keyspace"),
    ("keyspaces/table", "AWS::Cassandra::Table"),
    ("kinesis/firehoseDeliveryStream", "AWS::KinesisFirehose::DeliveryStream"),
    ("mq/broker", "AWS::AmazonMQ::Broker"),
    ("neptune/cluster", "AWS::Neptune::DBCluster"),
    ("neptune/clusterInstance", "AWS::Neptune::DBInstance"),
    ("neptune/clusterSnapshot", "AWS::RDS::DBSnapshot"),
    ("opensearch/domain", "AWS::OpenSearchService::Domain"),
    ("opensearch/serverlessCollection", "AWS::OpenSearchServerless::Collection"),
    ("rds/cluster", "AWS::RDS::DBCluster"),
    ("rds/clusterInstance", "AWS::RDS::DBInstance"),
    ("rds/clusterSnapshot", "AWS::RDS::ClusterSnapshot"),
    ("rds/instance", "AWS::RDS::DBInstance"),
    ("rds/snapshot", "AWS::RDS::DBSnapshot"),
    ("route53/zone", "AWS::Route53::HostedZone"),
    ("s3/bucketObject", "AWS::S3::Bucket"),
    ("s3/bucketObjectv2", "AWS::S3::Bucket"),
    ("s3/bucketV2", "AWS::S3::Bucket"),
    ("timestreamwrite/database", "AWS::Timestream::Database"),
    ("timestreamwrite/table", "AWS::Timestream::Table"),
];

/// What types begin with that are settings of others, where no table has them by their own name: the program brings all of
/// it back.
const SETTINGS: [&str; 12] = [
    "alb/",
    "apigateway/",
    "apigatewayv2/",
    "appautoscaling/",
    "autoscaling/",
    "cloudwatch/event",
    "ec2/route",
    "ec2/securityGroup",
    "iam/",
    "lb/",
    "s3/bucket",
    "vpc/",
];

/// What is lost when a resource of a type is deleted, in words; `None` where the program brings all of it back. What a type
/// holds that nobody has judged, nobody knows.
#[must_use]
pub fn holds(r#type: &str) -> Option<&'static str> {
    const UNKNOWN: &str = "whatever it holds: its type is one that this gatekeeper does not know";
    let parts: Vec<_> = r#type.split(':').collect();
    match parts.as_slice() {
        // The stack itself, and providers.
        ["pulumi", ..] => None,
        ["aws", place, name] => {
            if let Some((_, named)) = OTHERWISE.iter().find(|(other, _)| other == place) {
                return template::holds(named);
            }
            let module = place.split('/').next().unwrap_or_default();
            match template::known_type(module, name) {
                Some(known) => template::holds(known),
                None if SETTINGS.iter().any(|it| place.starts_with(it)) => None,
                None => Some(UNKNOWN),
            }
        }
        ["aws-native", module, name] => template::known_type(module, name).map_or(Some(UNKNOWN), template::holds),
        _ => Some(UNKNOWN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pulumi_calls_otherwise_holds_the_same() {
        let told = |it: &str| holds(it).unwrap_or("-").to_owned();
        let types = [
            "aws:dynamodb/table:Table",
            "aws:s3/bucket:Bucket",
            "aws:s3/bucketV2:BucketV2",
            "aws:s3/bucketVersioning:BucketVersioning",
            "aws:s3/bucketPolicy:BucketPolicy",
            "aws:kms/key:Key",
            "aws:rds/cluster:Cluster",
            "aws:cloudwatch/logGroup:LogGroup",
            "aws:iam/role:Role",
            "aws:iam/accessKey:AccessKey",
            "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
            "aws:sqs/queue:Queue",
            "aws:lambda/function:Function",
            "aws:nobody/knows:Knows",
            "aws-native:dynamodb:Table",
            "random:index/randomPassword:RandomPassword",
            "pulumi:providers:aws",
        ];
        let told: Vec<_> = types.map(|it| format!("{it}: {}", told(it))).into();
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn every_name_of_cloudformations_is_one_that_the_table_judged() {
        for (place, named) in OTHERWISE {
            let lost = template::holds(named);
            assert!(lost.is_none_or(|lost| !lost.starts_with("whatever")), "{place} {named}");
        }
    }
}
