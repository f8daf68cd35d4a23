//! A message to its value. Fields that are not known are skipped, as every protobuf reader does.

use super::ProtobufError;
use super::wire::{Raw, Reader};
use crate::schema::{Node, Shape};
use crate::{Map, Value, time};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

const BAD: fn(&'static str) -> ProtobufError = ProtobufError::BadValue;

pub(super) fn message(node: Node<'_>, bytes: &[u8], depth: usize) -> Result<Value, ProtobufError> {
    let mut map = Map::new();
    level(node, bytes, 0, [0, 0], &mut map, depth.checked_sub(1).ok_or(ProtobufError::TooDeep)?)?;
    Ok(Value::Object(map))
}

/// Reads the fields of the struct in line that `way` leads to, `level_number` steps deep.
fn level(
    node: Node<'_>,
    bytes: &[u8],
    level_number: usize,
    way: [u8; 2],
    map: &mut Map,
    depth: usize,
) -> Result<(), ProtobufError> {
    let mut reader = Reader::new(bytes);
    while let Some((number, raw)) = reader.next()? {
        let Ok(number) = u8::try_from(number) else { continue };
        let wanted: [u8; 3] = match level_number {
            0 => [0, 0, number],
            1 => [0, way[0], number],
            _ => [way[0], way[1], number],
        };
        let found = node.fields().find(|(_, field)| {
            field.table_field().is_some_and(|row| row.numbers() == wanted) && number != 0
        });
        if let Some((_, field)) = found {
            read_field(field, raw, map, depth)?;
            continue;
        }
        let deeper = |row: [u8; 3]| match level_number {
            0 => row[1] == number && row[0] == 0 || row[0] == number,
            1 => row[0] == way[0] && row[1] == number,
            _ => false,
        };
        let is_in_line = node
            .fields()
            .any(|(_, field)| field.table_field().is_some_and(|row| deeper(row.numbers())));
        if is_in_line && level_number < 2 {
            let mut way = way;
            way[level_number] = number;
            level(node, raw.bytes(node.go_type())?, level_number + 1, way, map, depth)?;
        }
    }
    Ok(())
}

fn read_field(
    node: Node<'_>,
    raw: Raw<'_>,
    map: &mut Map,
    depth: usize,
) -> Result<(), ProtobufError> {
    let Some(row) = node.table_field() else { return Ok(()) };
    let name = row.name();
    match node.shape() {
        Shape::List => {
            let items = map.entry(name).make_array();
            match (node.inner().shape(), raw) {
                // Numbers may come packed.
                (Shape::Int32 | Shape::Int64 | Shape::Bool, Raw::Bytes(packed)) => {
                    let mut reader = Reader::new(packed);
                    while !reader.is_at_end() {
                        let number = Raw::Number(reader.number()?);
                        items.push(single(name, node.inner(), number, depth)?);
                    }
                }
                _ => items.push(single(name, node.inner(), raw, depth)?),
            }
        }
        Shape::Map => {
            let (mut key, mut value) = ("", None);
            let mut entry = Reader::new(raw.bytes(name)?);
            while let Some((number, raw)) = entry.next()? {
                match number {
                    1 => key = raw.text(name)?,
                    2 => value = Some(single(name, node.inner(), raw, depth)?),
                    _ => {}
                }
            }
            let value = match value {
                Some(value) => value,
                None => zero(name, node.inner(), depth)?,
            };
            map.entry(name).make_object().insert(key, value);
        }
        _ => {
            let value = single(name, node, raw, depth)?;
            let zero = match node.shape() {
                Shape::Struct | Shape::IntOrString => value.is_null(),
                Shape::Quantity => value.is_null(),
                _ => value.is_empty(),
            };
            if value.is_null() || (zero && !row.is_pointer() && row.omits_empty()) {
                return Ok(());
            }
            map.insert(name, value);
        }
    }
    Ok(())
}

/// The value of an entry that has none.
fn zero(name: &'static str, node: Node<'_>, depth: usize) -> Result<Value, ProtobufError> {
    match node.shape() {
        Shape::Bool | Shape::Int32 | Shape::Int64 => single(name, node, Raw::Number(0), depth),
        Shape::Double => Ok(Value::Int(0)),
        _ => single(name, node, Raw::Bytes(b""), depth),
    }
}

fn single(
    name: &'static str,
    node: Node<'_>,
    raw: Raw<'_>,
    depth: usize,
) -> Result<Value, ProtobufError> {
    Ok(match node.shape() {
        Shape::Struct => message(node, raw.bytes(name)?, depth)?,
        Shape::String => Value::from(raw.text(name)?),
        Shape::Bool => Value::Bool(raw.int(name)? != 0),
        Shape::Int32 => {
            // A 32-bit number is what the lowest 32 bits say.
            Value::Int(i64::from(raw.int(name)? as i32))
        }
        Shape::Int64 => Value::Int(raw.int(name)?),
        Shape::Double => match raw.double(name)? {
            // As JSON has it, where 5.0 is 5.
            whole if whole.fract() == 0.0 && whole.abs() < 9.0e15 => Value::Int(whole as i64),
            number => Value::Float(number),
        },
        Shape::Bytes => Value::from(STANDARD.encode(raw.bytes(name)?)),
        Shape::Strings => {
            let mut items = Vec::new();
            let mut reader = Reader::new(raw.bytes(name)?);
            while let Some((number, raw)) = reader.next()? {
                if number == 1 {
                    items.push(Value::from(raw.text(name)?));
                }
            }
            Value::Array(items)
        }
        Shape::Quantity => {
            let mut text = "0";
            let mut reader = Reader::new(raw.bytes(name)?);
            while let Some((number, raw)) = reader.next()? {
                if number == 1 {
                    text = raw.text(name)?;
                }
            }
            let quantity: crate::quantity::Quantity = text.parse().map_err(|_| BAD(name))?;
            Value::from(quantity.to_string())
        }
        Shape::IntOrString => {
            let (mut kind, mut int, mut text) = (0, 0, "");
            let mut reader = Reader::new(raw.bytes(name)?);
            while let Some((number, raw)) = reader.next()? {
                match number {
                    1 => kind = raw.int(name)?,
                    2 => int = i64::from(raw.int(name)? as i32),
                    3 => text = raw.text(name)?,
                    _ => {}
                }
            }
            if kind == 0 { Value::Int(int) } else { Value::from(text) }
        }
        Shape::Time | Shape::MicroTime => {
            let (mut seconds, mut nanos, mut any) = (0, 0, false);
            let mut reader = Reader::new(raw.bytes(name)?);
            while let Some((number, raw)) = reader.next()? {
                any = true;
                match number {
                    1 => seconds = raw.int(name)?,
                    2 => nanos = raw.int(name)?,
                    _ => {}
                }
            }
            // Go's zero time is an empty message, or its seconds from the year 1 on.
            if !any || seconds == -62_135_596_800 {
                return Ok(Value::Null);
            }
            let nanos = i32::try_from(nanos).map_err(|_| BAD(name))?;
            let time = Timestamp::new(seconds, nanos).map_err(|_| BAD(name))?;
            let micro = node.shape() == Shape::MicroTime;
            Value::from(if micro { time::micros(time) } else { time::seconds(time) })
        }
        Shape::RawExtension | Shape::FieldsV1 | Shape::Json => {
            let mut json = &b""[..];
            let mut reader = Reader::new(raw.bytes(name)?);
            while let Some((number, raw)) = reader.next()? {
                if number == 1 {
                    json = raw.bytes(name)?;
                }
            }
            match json {
                b"" => Value::Null,
                json => crate::value::decode_value(json).map_err(|_| BAD(name))?,
            }
        }
        Shape::SchemaOrArray | Shape::SchemaOrBool | Shape::SchemaOrStrings => {
            schema_or(name, node, raw.bytes(name)?, depth)?
        }
        Shape::List | Shape::Map => return Err(BAD(name)),
    })
}

/// The three unions of a CRD's schema.
fn schema_or(
    name: &'static str,
    node: Node<'_>,
    bytes: &[u8],
    depth: usize,
) -> Result<Value, ProtobufError> {
    let (mut allows, mut schema, mut items) = (true, None, Vec::new());
    let mut reader = Reader::new(bytes);
    while let Some((number, raw)) = reader.next()? {
        match (node.shape(), number) {
            (Shape::SchemaOrBool, 1) => allows = raw.int(name)? != 0,
            (Shape::SchemaOrBool, 2) | (Shape::SchemaOrArray | Shape::SchemaOrStrings, 1) => {
                schema = Some(message(node.inner(), raw.bytes(name)?, depth)?);
            }
            (Shape::SchemaOrArray, 2) => {
                items.push(message(node.inner(), raw.bytes(name)?, depth)?)
            }
            (Shape::SchemaOrStrings, 2) => items.push(Value::from(raw.text(name)?)),
            _ => {}
        }
    }
    Ok(match (schema, node.shape()) {
        (Some(schema), _) => schema,
        (None, Shape::SchemaOrBool) => Value::Bool(allows),
        (None, _) => Value::Array(items),
    })
}
