//! Size budgets: a slot has a fixed place on every disk in the field, so exceeding one is an error.
//! Must never look at a file; sizes come as numbers.

use std::fmt;

/// Bytes in a MiB.
pub const MIB: u64 = 1 << 20;

/// Something whose size is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// What it is.
    pub what: &'static str,
    /// Its size in bytes.
    pub bytes: u64,
    /// The bound in MiB.
    pub budget: u64,
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.bytes as f64 / MIB as f64;
        write!(f, "{} {mib:.2} of {} MiB", self.what, self.budget)
    }
}

/// The budgets that were exceeded.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("over budget: {}; nothing was written", list(.0))]
pub struct Exceeded(pub Vec<Use>);

fn list(uses: &[Use]) -> String {
    uses.iter().map(Use::to_string).collect::<Vec<_>>().join(", ")
}

/// Checks all of them, so that one error names every excess.
pub fn check(uses: &[Use]) -> Result<(), Exceeded> {
    let over: Vec<Use> = uses.iter().filter(|u| u.bytes > u.budget * MIB).copied().collect();
    if over.is_empty() { Ok(()) } else { Err(Exceeded(over)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(bytes: u64) -> Use {
        Use { what: "root", bytes, budget: 64 }
    }

    #[test]
    fn exactly_the_budget_fits_and_one_byte_more_does_not() {
        assert_eq!(check(&[root(64 * MIB)]), Ok(()));
        assert_eq!(check(&[root(64 * MIB + 1)]), Err(Exceeded(vec![root(64 * MIB + 1)])));
    }

    #[test]
    fn error_names_every_excess_with_its_numbers() {
        let uki = Use { what: "UKI", bytes: 40 * MIB, budget: 32 };
        let fits = Use { what: "small", bytes: 1, budget: 1 };
        let text = check(&[root(65 * MIB), fits, uki]).expect_err("two are over").to_string();
        assert_eq!(
            text,
            "over budget: root 65.00 of 64 MiB, UKI 40.00 of 32 MiB; nothing was written"
        );
    }
}
