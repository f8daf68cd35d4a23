//! `application/vnd.kubernetes.protobuf`, both ways, for every built-in kind, driven by the table.
//!
//! A body is `k8s\0`, then a `runtime.Unknown` message: apiVersion and kind, and the object's own
//! message. Custom resources have no protobuf; their bodies are JSON inside of the same envelope.

mod decode;
mod encode;
#[cfg(test)]
mod tests;
mod wire;

use crate::schema::{Node, Schema};
use crate::{Gvk, Value};
use wire::{Reader, Writer};

/// What a body begins with.
pub const MAGIC: &[u8; 4] = b"k8s\0";

/// Nesting that is followed; more is an error.
const DEEPEST: usize = 100;

/// Why a body cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// It does not begin as it should.
    #[error(
        "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
    )]
    NoMagic,
    /// It ends too early, or a number is too long.
    #[error("unexpected EOF")]
    Truncated,
    /// A field is encoded in a way that its type does not allow.
    #[error("proto: wrong wireType = {wire} for field {field}")]
    WireType {
        /// The field.
        field: &'static str,
        /// What it came as.
        wire: u8,
    },
    /// Text that is no UTF-8, or a value that its field cannot hold.
    #[error("proto: field {0} has a value that it cannot hold")]
    BadValue(&'static str),
    /// Messages in messages without end.
    #[error("proto: nesting too deep")]
    TooDeep,
    /// The kind is not known to have protobuf.
    #[error("no kind {0:?} is registered for protobuf")]
    UnknownKind(String),
}

/// What a body says that it holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope<'a> {
    /// apiVersion and kind; they may be empty.
    pub gvk: Gvk,
    /// The object's message, or JSON.
    pub raw: &'a [u8],
    /// `application/json` when `raw` is JSON.
    pub content_type: &'a str,
}

/// Opens the envelope.
pub fn open(body: &[u8]) -> Result<Envelope<'_>, ProtobufError> {
    let message = body.strip_prefix(MAGIC).ok_or(ProtobufError::NoMagic)?;
    let (mut api_version, mut kind, mut raw, mut content_type) = ("", "", &[][..], "");
    let mut reader = Reader::new(message);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => {
                let mut of_type = Reader::new(field.bytes("typeMeta")?);
                while let Some((number, field)) = of_type.next()? {
                    match number {
                        1 => api_version = field.text("apiVersion")?,
                        2 => kind = field.text("kind")?,
                        _ => {}
                    }
                }
            }
            2 => raw = field.bytes("raw")?,
            4 => content_type = field.text("contentType")?,
            _ => {}
        }
    }
    Ok(Envelope { gvk: Gvk::of(api_version, kind), raw, content_type })
}

/// Reads an object of the place `node` out of its message. `apiVersion` and `kind` are those of
/// `gvk`.
pub fn decode_object(node: Node<'_>, gvk: &Gvk, raw: &[u8]) -> Result<Value, ProtobufError> {
    let mut value = decode::message(node, raw, DEEPEST)?;
    value.set(&["apiVersion"], gvk.api_version());
    value.set(&["kind"], &*gvk.kind);
    Ok(value)
}

/// Reads a whole body, of whatever built-in kind it says that it is; `expected` stands in where it
/// says nothing.
pub fn decode(body: &[u8], expected: &Gvk) -> Result<Value, ProtobufError> {
    let envelope = open(body)?;
    let gvk = if envelope.gvk.kind.is_empty() { expected } else { &envelope.gvk };
    if envelope.content_type == "application/json" {
        return crate::value::decode_value(envelope.raw)
            .map_err(|_| ProtobufError::BadValue("raw"));
    }
    let schema =
        Schema::built_in(gvk).ok_or_else(|| ProtobufError::UnknownKind(gvk.kind.to_string()))?;
    decode_object(schema.node(), gvk, envelope.raw)
}

/// Writes an object or a list of a built-in kind as a whole body.
pub fn encode(value: &Value) -> Result<Vec<u8>, ProtobufError> {
    let gvk = Gvk::of_object(value);
    let schema =
        Schema::built_in(&gvk).ok_or_else(|| ProtobufError::UnknownKind(gvk.kind.to_string()))?;
    Ok(envelope(&gvk, &encode_object(schema.node(), value)?))
}

/// Writes an object's message without its envelope, as lists and watch events hold it.
pub fn encode_object(node: Node<'_>, value: &Value) -> Result<Vec<u8>, ProtobufError> {
    let mut out = Writer::default();
    encode::message(node, value, &mut out, DEEPEST)?;
    Ok(out.into_bytes())
}

/// Puts a message into its envelope.
pub fn envelope(gvk: &Gvk, raw: &[u8]) -> Vec<u8> {
    let mut of_type = Writer::default();
    of_type.bytes(1, gvk.api_version().as_bytes());
    of_type.bytes(2, gvk.kind.as_bytes());
    let mut out = Writer::starting_with(MAGIC);
    out.bytes(1, &of_type.into_bytes());
    out.bytes(2, raw);
    out.bytes(3, b"");
    out.bytes(4, b"");
    out.into_bytes()
}

/// One frame of a watch: the length (4 bytes, big-endian), then a `WatchEvent` whose object is
/// `object`, a body with its own envelope.
pub fn watch_frame(event: &str, object: &[u8]) -> Vec<u8> {
    let mut raw = Writer::default();
    raw.bytes(1, object);
    let mut message = Writer::default();
    message.bytes(1, event.as_bytes());
    message.bytes(2, &raw.into_bytes());
    let message = message.into_bytes();
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut out = length.to_be_bytes().to_vec();
    out.extend(message);
    out
}

/// A list's message out of its items' messages, so that items need not be decoded: field 1 is the
/// metadata, field 2 each item.
pub fn list_message<'a>(
    metadata: &Value,
    items: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<u8>, ProtobufError> {
    let list_meta = crate::schema::TypeId::of_name("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta");
    let node = list_meta.map_or_else(|| Node::any(), Node::of_type);
    let mut out = Writer::default();
    out.bytes(1, &encode_object(node, metadata)?);
    for item in items {
        out.bytes(2, item);
    }
    Ok(out.into_bytes())
}
