//! Accounts that are the same whatever stage a template is deployed to: AWS's own, and those of vendors who publish
//! layers.

/// Whether an account is AWS's own or that of a vendor.
pub(super) fn is_vendor(account: &str) -> bool {
    AWS_ACCOUNTS.contains(&account) || VENDOR_ACCOUNTS.contains(&account)
}

/// Accounts of vendors whose layers anybody may take, or who take roles that one gives them, each from the vendor's own
/// documentation on its Lambda layers, extension or integration. The accounts that a bank shares among its stages are named by its policy.
#[rustfmt::skip]
pub(super) const VENDOR_ACCOUNTS: &[&str] = &[
    "464622532012", "002406178527", // Datadog; its GovCloud (docs.datadoghq.com/serverless)
    "451483290750",                 // New Relic (layers.newrelic-external.com)
    "754728514883",                 // New Relic, which takes roles (docs.newrelic.com, AWS integrations)
    "114300393969",                 // Lumigo (github.com/lumigo-io/lumigo-cdk-constructs)
    "943013980633",                 // Sentry (docs.sentry.io, AWS Lambda)
    "725887861453",                 // Dynatrace (docs.dynatrace.com, AWS Lambda)
    "702835727665",                 // Honeycomb (github.com/honeycombio/honeycomb-lambda-extension)
    "267093732750",                 // Elastic (github.com/elastic/apm-aws-lambda)
    "254067382080",                 // Splunk (github.com/signalfx/lambda-layer-versions)
    "338050622354",                 // AppDynamics (docs.appdynamics.com, AWS Lambda)
    "410797082306", "107998019096", // Instana; in China (ibm.com/docs, Instana)
    "625240141681",                 // Coralogix (coralogix.com/docs)
    "663229565520",                 // Sumo Logic (github.com/SumoLogic/sumologic-otel-lambda)
    "269863060030",                 // Thundra and MerLoc (github.com/thundra-io/merloc)
    "184161586896",                 // OpenTelemetry (github.com/open-telemetry/opentelemetry-lambda)
    "634166935893",                 // HashiCorp Vault (github.com/hashicorp/vault-lambda-extension)
    "534081306603",                 // Bref, PHP (bref.sh/docs)
];

/// The accounts that AWS's own documentation names for logs, layers and images: those of the region facts in
/// aws-cdk-lib 2.276.0 (`aws-cdk-lib/region-info`), and of the documentation of the layers that those lack. An account
/// that is missing here is named in a template by a parameter.
#[rustfmt::skip]
pub(super) const AWS_ACCOUNTS: &[&str] = &[
    // Elastic Load Balancing, which writes access logs as these accounts, one a region.
    "009996457667", "027434742980", "033677994240", "037604701340", "048591011584", "054676820928", "076674570225",
    "091100254016", "098369216593", "114774131450", "121062877647", "127311923021", "156460612806", "190560391635",
    "383597477331", "412137745753", "507241528517", "582318560864", "589379963580", "600734575887", "635631232127",
    "638102146993", "652711504416", "718504428378", "740734521339", "754344448648", "770363063475", "783225319266",
    "797873946194", "897822967062", "985666609251",
    // The layers of CloudWatch Lambda Insights; Epsagon's are in 066549572091 too.
    "012438385374", "033019950311", "066549572091", "122132214140", "145023102084", "158895979263", "194566237122",
    "198461476570", "285320876703", "339249233099", "352183217350", "439286490199", "459530977127", "488211338238",
    "519774774795", "580247275435", "590183865173", "605207715842", "727646510379", "732604637566", "751350123760",
    "761018874580", "761377655185", "879381266642", "891564319516", "946466191631",
    // The layers of the AppConfig agent.
    "000010852771", "027255383542", "039592058896", "066940009817", "080788657173", "203683718741", "282860088358",
    "307021474294", "359756378197", "418787028745", "421114256042", "434848589818", "489524808438", "493207061005",
    "554480029851", "559955524753", "574348263942", "586093569114", "615057806174", "615084187847", "630222743974",
    "646970417810", "662846165436", "706869817123", "728743619870", "758369105281", "826293736237", "946561847325",
    "946746059096", "958113053741", "980059726660",
    // The layers of the Parameters and Secrets extension.
    "015030872274", "044395824272", "070087711984", "127562683043", "129776340158", "133256977650", "133490724326",
    "176022468876", "177933569100", "187925254637", "200266452380", "287114880934", "287310001119", "317013901791",
    "325218067255", "345057560386", "427196147048", "490737872127", "524103009944", "576959938190", "590474943231",
    "665172237481", "738900069198", "768336418462", "772501565639", "780235371811", "832021897121", "858974508948",
    "933737806257", "997803712105",
    // The layers of the AWS Distro for OpenTelemetry.
    "901920570463", "615299751070",
    // The Envoy images of App Mesh.
    "058264503299", "422531588944", "564877687649", "637423513210", "675079659277", "772975370895", "840364872350",
    "856666278305", "909464085924", "919366029133", "919830735681", "924023996002",
    // The images of AWS Deep Learning Containers.
    "124382933778", "204133271717", "217643126080", "303241398832", "380420809688", "454834333376", "457447274322",
    "503227376785", "633930458069", "692866216735", "727897471807", "763104351884", "772153158452", "871362719292",
    "907027046896", "914824155844", "975050140332",
    // The layers of Powertools for AWS Lambda: Python, TypeScript.
    "017000801446", "094274105915",
    // The same in GovCloud and China.
    "165087284144", "165093116878", "498634801083",
    // The layers of CodeGuru Profiler.
    "157417159150",
    // The rotation functions of Secrets Manager in the AWS Serverless Application Repository, as aws-cdk-lib names them.
    "297356227824", "193023089310", "023102451235",
    // The layer of the AWS Lambda Web Adapter.
    "753240598075",
    // The layer of the AWS SDK for pandas.
    "336392948345",
    // The add-on images of Amazon EKS.
    "602401143452",
];
