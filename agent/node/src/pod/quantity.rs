//! Kubernetes quantities such as `64Mi` and `250m`, as whole numbers. Pure.

/// A text that is no quantity, or one that is out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a quantity such as 500m, 64Mi or 1.5G")]
pub struct NotAQuantity {
    /// What was given.
    pub text: String,
}

/// A quantity in whole units, such as bytes. Fractions are rounded up, as Kubernetes does.
pub fn units(text: &str) -> Result<u64, NotAQuantity> {
    scaled(text, 0)
}

/// A quantity in thousandths of its unit, such as CPU time. Smaller fractions are rounded up.
pub fn millis(text: &str) -> Result<u64, NotAQuantity> {
    scaled(text, 3)
}

/// `text` times 10^`extra`, rounded up.
fn scaled(text: &str, extra: i32) -> Result<u64, NotAQuantity> {
    parse(text, extra).ok_or_else(|| NotAQuantity { text: text.to_owned() })
}

fn parse(text: &str, extra: i32) -> Option<u64> {
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    // 24 digits leave room in 128 bits for the largest suffix.
    if digits.is_empty() || digits.len() > 24 || fraction.contains('.') {
        return None;
    }
    let mantissa: u128 = digits.parse().ok()?;
    let (binary, decimal) = exponents(suffix)?;
    let decimal = decimal + extra - i32::try_from(fraction.len()).ok()?;
    let value = mantissa.checked_mul(1u128.checked_shl(binary)?)?;
    let power = 10u128.checked_pow(decimal.unsigned_abs())?;
    let value = if decimal >= 0 { value.checked_mul(power)? } else { value.div_ceil(power) };
    u64::try_from(value).ok()
}

/// The powers of two and of ten that a suffix stands for.
fn exponents(suffix: &str) -> Option<(u32, i32)> {
    Some(match suffix {
        "" => (0, 0),
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            let exponent: i32 = exponent.parse().ok()?;
            (0, (-30..=30).contains(&exponent).then_some(exponent)?)
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantities_mean_what_kubernetes_says() {
        for (text, expected) in [
            ("0", 0),
            ("128974848", 128_974_848),
            ("129e6", 129_000_000),
            ("129M", 129_000_000),
            ("123Mi", 128_974_848),
            ("1.5Gi", 1_610_612_736),
            ("0.5Ki", 512),
            ("+1k", 1000),
            ("1500m", 2),
            ("1E", 1_000_000_000_000_000_000),
            ("1E3", 1000),
            (".5k", 500),
        ] {
            assert_eq!(units(text), Ok(expected), "{text}");
        }
        for (text, expected) in [("1", 1000), ("250m", 250), ("0.1", 100), ("1u", 1), ("2.5", 2500)]
        {
            assert_eq!(millis(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in ["", "Mi", "-1", "1 Mi", "1mi", "1..2", ".", "1e", "1e99", "99999E", "0x10"] {
            assert_eq!(units(text), Err(NotAQuantity { text: text.to_owned() }), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,30}") {
            let _ = (units(&text), millis(&text));
        }

        #[test]
        fn any_likely_text_is_read_without_a_panic(text in "[+-]?[0-9.]{0,30}[numkMGTPEie0-9-]{0,4}") {
            let _ = (units(&text), millis(&text));
        }

        #[test]
        fn whole_numbers_stay_as_they_are(number: u64) {
            prop_assert_eq!(units(&number.to_string()), Ok(number));
        }
    }
}
