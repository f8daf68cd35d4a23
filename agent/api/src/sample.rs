//! Random objects out of the table, for tests: every field of every kind gets its turn.

use crate::decode::{Fill, normalize};
use crate::schema::{Node, Shape};
use crate::{Gvk, Map, Value};

/// A small generator of numbers; the same seed gives the same objects.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u64) as usize]
    }
}

/// A whole object of the kind, in its kept form.
pub(crate) fn object(node: Node<'_>, gvk: &Gvk, random: &mut Random) -> Value {
    let mut value = value(node, random, 6);
    value.set(&["apiVersion"], gvk.api_version());
    value.set(&["kind"], &*gvk.kind);
    normalize(node, &mut value, Fill::Whole).unwrap();
    value
}

pub(crate) fn value(node: Node<'_>, random: &mut Random, depth: u64) -> Value {
    match node.shape() {
        Shape::Struct => {
            let mut map = Map::new();
            for (name, field) in node.fields() {
                let deep = matches!(field.shape(), Shape::Struct | Shape::List | Shape::Map);
                if (deep && depth == 0) || random.below(4) == 0 {
                    continue;
                }
                map.insert(name, value(field, random, depth.saturating_sub(1)));
            }
            Value::Object(map)
        }
        Shape::Map => {
            let key = random.pick(&["a", "example.com/b", "c.d"]).to_owned();
            [(key, value(node.inner(), random, depth))].into_iter().collect::<Map>().into()
        }
        Shape::List => {
            let count = 1 + random.below(2);
            let mut items: Vec<Value> =
                (0..count).map(|_| value(node.inner(), random, depth)).collect();
            // Keys tell elements apart.
            for (index, item) in items.iter_mut().enumerate() {
                for key in node.list_keys() {
                    match node.inner().field(key).map(Node::shape) {
                        Some(Shape::String) => item.set(&[key], format!("k{index}")),
                        Some(Shape::Int32) => item.set(&[key], index as i64 + 1),
                        _ => {}
                    }
                }
            }
            if matches!(node.inner().shape(), Shape::String) {
                items.dedup();
            }
            items.into()
        }
        Shape::Strings => vec![Value::from("x"), Value::from("y")].into(),
        Shape::String => random.pick(&["x", "Hello", "é", "a-b"]).into(),
        Shape::Bool => Value::Bool(random.below(2) == 0),
        Shape::Int32 => Value::Int((random.next() as i32).into()),
        Shape::Int64 => Value::Int(random.next() as i64),
        Shape::Double => Value::Float(random.below(1000) as f64 + 0.5),
        Shape::Bytes => random.pick(&["aGk=", "AAECAw=="]).into(),
        Shape::Quantity => random.pick(&["1", "500m", "1Gi", "1536Mi", "0"]).into(),
        Shape::IntOrString => match random.below(2) {
            0 => Value::Int(random.below(9000) as i64),
            _ => "25%".into(),
        },
        Shape::Time => random.pick(&["2026-01-02T03:04:05Z", "1969-12-31T23:59:58Z"]).into(),
        Shape::MicroTime => {
            random.pick(&["2026-01-02T03:04:05.000006Z", "1969-12-31T23:59:58.250000Z"]).into()
        }
        Shape::RawExtension | Shape::FieldsV1 => crate::value!({"f:spec": {"a": [1i64, null]}}),
        Shape::Json => match random.below(3) {
            0 => crate::value!([1i64, "a", null]),
            1 => Value::Bool(true),
            _ => crate::value!({"a": {"b": 1.5}}),
        },
        Shape::SchemaOrArray => crate::value!([{"type": "string"}, {"type": "integer"}]),
        Shape::SchemaOrBool => match random.below(2) {
            0 => Value::Bool(random.below(2) == 0),
            _ => crate::value!({"type": "string"}),
        },
        Shape::SchemaOrStrings => match random.below(2) {
            0 => crate::value!(["a", "b"]),
            _ => crate::value!({"type": "string"}),
        },
    }
}

/// Every built-in kind that a resource serves.
pub(crate) fn kinds() -> Vec<Gvk> {
    crate::resource::Registry::built_in().iter().map(|resource| resource.gvk()).collect()
}
