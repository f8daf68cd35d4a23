//! The wire format: tags, variable-length numbers, lengths.

use super::ProtobufError;

/// A field's value as it stands in a message.
#[derive(Debug, Clone, Copy)]
pub(super) enum Raw<'a> {
    Number(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(&'a [u8]),
}

impl<'a> Raw<'a> {
    fn wire_type(self) -> u8 {
        match self {
            Self::Number(_) => 0,
            Self::Fixed64(_) => 1,
            Self::Bytes(_) => 2,
            Self::Fixed32 => 5,
        }
    }

    fn wrong(self, field: &'static str) -> ProtobufError {
        ProtobufError::WireType { field, wire: self.wire_type() }
    }

    pub(super) fn bytes(self, field: &'static str) -> Result<&'a [u8], ProtobufError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            other => Err(other.wrong(field)),
        }
    }

    pub(super) fn text(self, field: &'static str) -> Result<&'a str, ProtobufError> {
        std::str::from_utf8(self.bytes(field)?).map_err(|_| ProtobufError::BadValue(field))
    }

    /// A signed number; negative ones come as their two's complement in 64 bits.
    pub(super) fn int(self, field: &'static str) -> Result<i64, ProtobufError> {
        match self {
            Self::Number(number) => Ok(number.cast_signed()),
            other => Err(other.wrong(field)),
        }
    }

    pub(super) fn double(self, field: &'static str) -> Result<f64, ProtobufError> {
        match self {
            Self::Fixed64(bits) if f64::from_bits(bits).is_finite() => Ok(f64::from_bits(bits)),
            Self::Fixed64(_) => Err(ProtobufError::BadValue(field)),
            other => Err(other.wrong(field)),
        }
    }
}

/// Reads the fields of a message one by one.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn number(&mut self) -> Result<u64, ProtobufError> {
        let mut number = 0u64;
        for shift in (0..70).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(ProtobufError::Truncated)?;
            self.rest = rest;
            number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or_default();
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(ProtobufError::Truncated)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], ProtobufError> {
        let length = usize::try_from(length).map_err(|_| ProtobufError::Truncated)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(ProtobufError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// The next field's number and value; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Raw<'a>)>, ProtobufError> {
        if self.is_at_end() {
            return Ok(None);
        }
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => Raw::Number(self.number()?),
            1 => {
                let bytes = self.take(8)?.first_chunk().ok_or(ProtobufError::Truncated)?;
                Raw::Fixed64(u64::from_le_bytes(*bytes))
            }
            2 => {
                let length = self.number()?;
                Raw::Bytes(self.take(length)?)
            }
            // No field of the API is of this type; it is skipped.
            5 => {
                self.take(4)?;
                Raw::Fixed32
            }
            // Groups went out of use before Kubernetes began.
            _ => return Err(ProtobufError::Truncated),
        };
        Ok(Some((tag >> 3, value)))
    }
}

/// Writes the fields of a message one by one.
#[derive(Debug, Default)]
pub(super) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub(super) fn starting_with(bytes: &[u8]) -> Self {
        Self { out: bytes.to_vec() }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.out.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.out.push((number & 0x7f) as u8);
    }

    pub(super) fn bytes(&mut self, field: u8, bytes: &[u8]) {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    pub(super) fn int(&mut self, field: u8, number: i64) {
        self.varint(u64::from(field) << 3);
        self.varint(number.cast_unsigned());
    }

    pub(super) fn double(&mut self, field: u8, number: f64) {
        self.varint(u64::from(field) << 3 | 1);
        self.out.extend_from_slice(&number.to_bits().to_le_bytes());
    }

    /// A message in a message.
    pub(super) fn message<E>(
        &mut self,
        field: u8,
        write: impl FnOnce(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut inner = Self::default();
        write(&mut inner)?;
        self.bytes(field, &inner.out);
        Ok(())
    }
}
