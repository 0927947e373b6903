//! How CloudFormation and S3 are told which stored version is meant.

use gatekeeper_promotion::plan::Pinned;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stays as it is: RFC 3986's unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The same inside of a key, whose slashes divide a path.
const ENCODED_IN_KEY: &AsciiSet = &ENCODED.remove(b'/');

/// Where S3 answers for a bucket.
#[derive(Debug, Clone, Copy)]
pub struct S3Address<'a> {
    /// Another address than the usual one.
    pub endpoint: Option<&'a str>,
    /// The bucket's region.
    pub region: &'a str,
}

/// The URL by which CloudFormation reads one version of a template. It holds no signature: CloudFormation reads with
/// the rights of who makes the change set.
#[must_use]
pub fn template_url(address: S3Address<'_>, bucket: &str, template: &Pinned) -> String {
    format!("{}/{}", bucket_url(address, bucket), object(template))
}

/// The URL of an object in whatever version is there: its bytes are proved by what CloudFormation made of them.
#[must_use]
pub fn object_url(address: S3Address<'_>, bucket: &str, key: &str) -> String {
    format!("{}/{}", bucket_url(address, bucket), utf8_percent_encode(key, ENCODED_IN_KEY))
}

fn bucket_url(address: S3Address<'_>, bucket: &str) -> String {
    match address.endpoint {
        Some(endpoint) => format!("{}/{bucket}", endpoint.trim_end_matches('/')),
        None => format!("https://{bucket}.s3.{}.{}", address.region, url_suffix(address.region)),
    }
}

/// What `x-amz-copy-source` names one version of an object by.
#[must_use]
pub fn copy_source(bucket: &str, source: &Pinned) -> String {
    format!("{bucket}/{}", object(source))
}

fn object(pinned: &Pinned) -> String {
    format!(
        "{}?versionId={}",
        utf8_percent_encode(&pinned.key, ENCODED_IN_KEY),
        utf8_percent_encode(pinned.version_id.as_str(), ENCODED)
    )
}

/// `AWS::Partition` of a region.
#[must_use]
pub fn partition(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

/// `AWS::URLSuffix` of a region.
#[must_use]
pub fn url_suffix(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

#[cfg(test)]
mod tests {
    use gatekeeper_model::ids::Sha256;

    use super::*;

    fn pinned(key: &str, version_id: &str) -> Pinned {
        Pinned { key: key.to_owned(), version_id: version_id.into(), sha256: Sha256::of(b"{}"), size: 2 }
    }

    fn check(endpoint: Option<&str>, region: &str, template: &Pinned, expect: &str) {
        assert_eq!(template_url(S3Address { endpoint, region }, "artefacts", template), expect);
    }

    #[test]
    fn a_template_is_named_by_its_version_at_the_buckets_own_host() {
        let template = pinned("bank/0f/modules/MOD-012/cloudformation/api.json", "3sL4kqtJlcpXroDTDmJ_rmSpXd3dIbrHY");
        check(
            None,
            "ap-southeast-2",
            &template,
            "https://artefacts.s3.ap-southeast-2.amazonaws.com/bank/0f/modules/MOD-012/cloudformation/api.json?versionId=3sL4kqtJlcpXroDTDmJ_rmSpXd3dIbrHY",
        );
        check(
            None,
            "cn-north-1",
            &template,
            "https://artefacts.s3.cn-north-1.amazonaws.com.cn/bank/0f/modules/MOD-012/cloudformation/api.json?versionId=3sL4kqtJlcpXroDTDmJ_rmSpXd3dIbrHY",
        );
    }

    #[test]
    fn at_another_endpoint_the_bucket_is_in_the_path() {
        for endpoint in ["http://127.0.0.1:4566", "http://127.0.0.1:4566/"] {
            check(
                Some(endpoint),
                "ap-southeast-2",
                &pinned("a.json", "1"),
                "http://127.0.0.1:4566/artefacts/a.json?versionId=1",
            );
        }
    }

    #[test]
    fn what_a_url_gives_a_meaning_to_is_encoded() {
        check(
            Some("http://localhost"),
            "ap-southeast-2",
            &pinned("a b/c+d&e?f#g%é.json", "x/y+z=&"),
            "http://localhost/artefacts/a%20b/c%2Bd%26e%3Ff%23g%25%C3%A9.json?versionId=x%2Fy%2Bz%3D%26",
        );
        assert_eq!(copy_source("artefacts", &pinned("a+b/c.zip", "v/1")), "artefacts/a%2Bb/c.zip?versionId=v%2F1");
    }

    #[test]
    fn partitions_are_those_of_the_region() {
        assert_eq!(
            [partition("eu-west-1"), partition("cn-north-1"), partition("us-gov-east-1")],
            ["aws", "aws-cn", "aws-us-gov"]
        );
    }
}
