//! Quantities such as `500m`, `1.5Gi` or `1e3`: parsed, compared, and written in the one form that
//! upstream calls canonical.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// An amount, exact to a billionth. Parsing rounds away from zero and stops at 2^63 - 1.
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    nanos: i128,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Decimal,
    Binary,
    Exponent,
}

/// The text is no quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// It does not look like one.
    #[error(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )]
    Format,
    /// It ends in an unknown unit.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

const NANO: i128 = 1_000_000_000;
const MOST: i128 = i64::MAX as i128 * NANO;
const DECIMAL: [(&str, i32); 10] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];
const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end =
            unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(QuantityError::Format);
        }
        let (form, base, exponent) = parse_suffix(suffix)?;
        // Units are applied to the whole number of all digits; what does not fit is far past the cap.
        let fraction = fraction.trim_end_matches('0');
        let digits = whole.trim_start_matches('0').len() + fraction.len();
        let scale = i32::try_from(fraction.len()).unwrap_or(i32::MAX);
        let mantissa =
            if digits <= 36 { format!("{whole}{fraction}").parse::<i128>().ok() } else { None };
        let nanos = match mantissa {
            Some(0) => 0,
            Some(mantissa) if base == 2 => scaled(mantissa, 9 - scale, 1 << (10 * exponent)),
            Some(mantissa) => scaled(mantissa, exponent.saturating_add(9).saturating_sub(scale), 1),
            // More digits than any amount needs: only their size matters.
            None => match whole.trim_start_matches('0').len() {
                // One more in the last place stands for all that is cut off, so that it rounds up.
                0..=18 => {
                    let kept: String = fraction.chars().take(16).collect();
                    let text = format!("{whole}.{kept}1{suffix}");
                    return text.parse::<Self>().map(|short| Self {
                        nanos: if negative { -short.nanos } else { short.nanos },
                        form,
                    });
                }
                _ => MOST,
            },
        };
        Ok(Self { nanos: if negative { -nanos } else { nanos }, form })
    }
}

/// `mantissa * 10^exponent * factor`, rounded up and capped.
fn scaled(mantissa: i128, exponent: i32, factor: i128) -> i128 {
    let Some(product) = mantissa.checked_mul(factor) else { return MOST };
    let result = if exponent >= 0 {
        10i128
            .checked_pow(exponent.unsigned_abs())
            .and_then(|power| product.checked_mul(power))
            .unwrap_or(MOST)
    } else {
        match 10i128.checked_pow(exponent.unsigned_abs()) {
            Some(power) => product / power + i128::from(product % power != 0),
            None => 1,
        }
    };
    result.min(MOST)
}

/// The form, the base of the power that the suffix stands for (2 means 1024), and its exponent.
fn parse_suffix(suffix: &str) -> Result<(Form, i32, i32), QuantityError> {
    if let Some((_, exponent)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Ok((Form::Decimal, 10, *exponent));
    }
    if let Some(at) = BINARY.iter().position(|name| *name == suffix) {
        return Ok((Form::Binary, 2, i32::try_from(at).unwrap_or_default() + 1));
    }
    let exponent = suffix.strip_prefix(['e', 'E']).ok_or(QuantityError::Suffix)?;
    match exponent.parse::<i32>() {
        Ok(exponent) => Ok((Form::Exponent, 10, exponent.clamp(-1000, 1000))),
        Err(_) => Err(QuantityError::Suffix),
    }
}

impl Quantity {
    /// An amount of whole units, written in decimal form.
    pub fn from_units(units: i64) -> Self {
        Self { nanos: i128::from(units) * NANO, form: Form::Decimal }
    }

    /// Whole units, rounded up.
    pub fn units(self) -> i64 {
        i64::try_from(self.nanos.div_euclid(NANO) + i128::from(self.nanos.rem_euclid(NANO) != 0))
            .unwrap_or(i64::MAX)
    }

    /// Thousandths, rounded up.
    pub fn millis(self) -> i64 {
        let milli = NANO / 1000;
        let millis = self.nanos.div_euclid(milli) + i128::from(self.nanos.rem_euclid(milli) != 0);
        i64::try_from(millis).unwrap_or(if millis < 0 { i64::MIN } else { i64::MAX })
    }

    /// Whether this is no whole number of units.
    pub fn is_fractional(self) -> bool {
        self.nanos % NANO != 0
    }

    /// -1, 0 or 1.
    pub fn sign(self) -> i32 {
        self.nanos.signum().try_into().unwrap_or_default()
    }

    /// The sum; it keeps the form of the left operand.
    pub fn plus(self, other: Self) -> Self {
        Self { nanos: self.nanos + other.nanos, form: self.form }
    }

    /// The difference; it keeps the form of the left operand.
    pub fn minus(self, other: Self) -> Self {
        Self { nanos: self.nanos - other.nanos, form: self.form }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let small = self.nanos.abs() < 1024 * NANO;
        if self.form == Form::Binary && !small && !self.is_fractional() {
            let mut amount = self.nanos / NANO;
            let mut unit = "";
            for name in BINARY {
                if amount % 1024 != 0 {
                    break;
                }
                (amount, unit) = (amount / 1024, name);
            }
            return write!(f, "{amount}{unit}");
        }
        let (mut amount, mut at) = (self.nanos, 0);
        while amount % 1000 == 0 && at + 1 < DECIMAL.len() {
            (amount, at) = (amount / 1000, at + 1);
        }
        let (name, exponent) = DECIMAL[at];
        match (self.form, exponent) {
            (Form::Exponent, 0) => write!(f, "{amount}"),
            (Form::Exponent, _) => write!(f, "{amount}e{exponent}"),
            _ => write!(f, "{amount}{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(text: &str) -> String {
        text.parse::<Quantity>().map_or_else(|error| error.to_string(), |q| q.to_string())
    }

    #[test]
    fn canonical_form_is_upstreams() {
        for (text, expected) in [
            ("0", "0"),
            ("0.0", "0"),
            ("1000m", "1"),
            ("0.5", "500m"),
            (".5", "500m"),
            ("1.", "1"),
            ("1500m", "1500m"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("1Ki", "1Ki"),
            ("1000Ki", "1000Ki"),
            ("1000", "1k"),
            ("12345", "12345"),
            ("100000", "100k"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("1e-3", "1e-3"),
            ("12e6", "12e6"),
            ("1E", "1E"),
            ("0.1n", "1n"),
            ("-1.5", "-1500m"),
            ("+5", "5"),
            ("100Ei", "9223372036854775807"),
            ("99999999999999999999999999999999999999999999", "9223372036854775807"),
            ("0.00000000000000000000000000000000000000000001", "1n"),
        ] {
            assert_eq!(canonical(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", "-", ".", "1..2", "1.2.3", "abc", " 1", "--1"] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
        for text in ["1x", "1e", "1ki", "1KiB", "1 ", "1e1.5", "1mm"] {
            assert_eq!(text.parse::<Quantity>(), Err(QuantityError::Suffix), "{text}");
        }
    }

    #[test]
    fn amounts_compare_across_units() {
        let q = |text: &str| text.parse::<Quantity>().unwrap();
        assert!(q("1Ki") > q("1k"));
        assert_eq!(q("1"), q("1000m"));
        assert_eq!(q("1500m").units(), 2);
        assert_eq!(q("1500m").millis(), 1500);
        assert_eq!(q("-1500m").units(), -1);
        assert_eq!(q("1Gi").plus(q("1")).minus(q("1")).to_string(), "1Gi");
    }

    proptest! {
        #[test]
        fn canonical_form_is_stable(text in "[+-]?[0-9]{0,20}(\\.[0-9]{0,20})?(|n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|e[0-9]|e-[0-9])") {
            if let Ok(quantity) = text.parse::<Quantity>() {
                let once = quantity.to_string();
                let again = once.parse::<Quantity>().unwrap();
                prop_assert_eq!(again, quantity);
                prop_assert_eq!(again.to_string(), once);
            }
        }

        #[test]
        fn any_text_is_parsed_or_refused_calmly(text in ".{0,24}") {
            let _ = text.parse::<Quantity>();
        }
    }
}
