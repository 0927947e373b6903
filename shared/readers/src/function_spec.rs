//! What a template says of a function that its bundle must fit.

use serde::{Deserialize, Serialize};

/// What a template says of a Lambda function, as far as its bundle must fit it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionSpec {
    /// `Runtime`, such as `nodejs22.x` or `provided.al2023`.
    pub runtime: String,
    /// `Handler`, such as `index.handler`; OS-only runtimes need none.
    pub handler: Option<String>,
    /// `Architectures`, `x86_64` where the template says nothing.
    pub architecture: Architecture,
}

/// A Lambda function's instruction set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Architecture {
    /// 64-bit x86.
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit ARM.
    #[serde(rename = "arm64")]
    Arm64,
}
