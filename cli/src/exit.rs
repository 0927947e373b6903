//! What a command comes to, as a number (CONTRACT §9).

use std::fmt;

use gatekeeper_evidence::model::Holds;

/// What a command found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Yes, or done.
    Yes,
    /// The gate said no, or a promotion did not succeed.
    No,
    /// Nothing is known to be wrong, and something could not be looked at.
    Open,
    /// A command that was run ended so.
    Ended(u8),
}

/// What a shell says of a command that an interrupt ended.
pub(crate) const INTERRUPTED: Answer = Answer::Ended(130);

impl Answer {
    /// Yes where it is so.
    pub(crate) fn yes_if(so: bool) -> Self {
        if so { Self::Yes } else { Self::No }
    }

    /// What a check came to: one that could not be made is neither held nor failed.
    pub(crate) fn of(holds: Holds) -> Self {
        match holds {
            Holds::Holds | Holds::Waived => Self::Yes,
            Holds::Unknown => Self::Open,
            Holds::Fails => Self::No,
        }
    }
}

/// An error of whoever called: arguments that don't fit, a folder that can't be read.
#[derive(Debug)]
pub(crate) struct Misuse(pub(crate) String);

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misuse {}

/// The process's exit code.
pub(crate) fn code(result: &anyhow::Result<Answer>) -> u8 {
    match result {
        Ok(Answer::Yes) => 0,
        Ok(Answer::No) => 1,
        Ok(Answer::Ended(code)) => *code,
        Err(error) if error.chain().any(<dyn std::error::Error>::is::<Misuse>) => 2,
        Ok(Answer::Open) | Err(_) => 3,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test]
    fn every_end_has_its_code() {
        assert_eq!(code(&Ok(Answer::Yes)), 0);
        assert_eq!(code(&Ok(Answer::No)), 1);
        for (holds, expected) in [(Holds::Holds, 0), (Holds::Waived, 0), (Holds::Unknown, 3), (Holds::Fails, 1)] {
            assert_eq!(code(&Ok(Answer::of(holds))), expected);
        }
        assert_eq!(code(&Ok(Answer::Ended(143))), 143);
        let misuse = || Err::<Answer, _>(anyhow::Error::new(Misuse("no such folder".to_owned())));
        assert_eq!(code(&misuse()), 2);
        assert_eq!(code(&misuse().context("behind something else")), 2);
        assert_eq!(code(&Err(anyhow!("connection refused"))), 3);
    }
}
