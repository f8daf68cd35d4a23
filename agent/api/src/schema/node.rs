//! A place in a schema: what may stand there, what is below it, and how writers share it.

use super::structural::{Kind, Structural};
use super::table::{Container, Element, FieldId, TypeId};
use std::iter;

/// What may stand at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Shape {
    /// An object with known fields.
    Struct,
    /// An object with any names, all values alike.
    Map,
    /// An array, all elements alike.
    List,
    String,
    Bool,
    Int32,
    Int64,
    Double,
    /// Base64 text.
    Bytes,
    /// A list of texts that is a message of its own in protobuf.
    Strings,
    Quantity,
    IntOrString,
    /// RFC 3339 to the second.
    Time,
    /// RFC 3339 to the microsecond.
    MicroTime,
    /// A whole object of any kind.
    RawExtension,
    /// The set of fields that a writer owns.
    FieldsV1,
    /// Any JSON.
    Json,
    SchemaOrArray,
    SchemaOrBool,
    SchemaOrStrings,
}

const SCHEMA: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

const SCALARS: [Shape; 17] = [
    Shape::String,
    Shape::Bool,
    Shape::Int32,
    Shape::Int64,
    Shape::Double,
    Shape::Bytes,
    Shape::Strings,
    Shape::Quantity,
    Shape::IntOrString,
    Shape::Time,
    Shape::MicroTime,
    Shape::RawExtension,
    Shape::FieldsV1,
    Shape::Json,
    Shape::SchemaOrArray,
    Shape::SchemaOrBool,
    Shape::SchemaOrStrings,
];

/// How writers share a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListKind {
    /// One writer owns it all.
    Atomic,
    /// Each element is owned by itself; no two are equal.
    Set,
    /// Elements are told apart by the values of some fields.
    Map,
}

/// A place in a schema.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a>(Place<'a>);

#[derive(Debug, Clone, Copy)]
enum Place<'a> {
    Type(TypeId),
    Field(FieldId),
    /// An element of the list or map that the field is.
    Inner(FieldId),
    /// The texts of a list that protobuf wraps.
    Text,
    Custom(&'a Structural),
    Any,
}

impl<'a> Node<'a> {
    /// A value of a type of the table.
    pub fn of_type(id: TypeId) -> Node<'static> {
        Node(Place::Type(id))
    }

    /// A value that a CRD's schema describes.
    pub fn of_structural(schema: &'a Structural) -> Self {
        Self(Place::Custom(schema))
    }

    /// A value of which nothing is known.
    pub fn any() -> Node<'static> {
        Node(Place::Any)
    }

    /// A field of a type of the table.
    pub fn of_field(field: FieldId) -> Node<'static> {
        Node(Place::Field(field))
    }

    /// The field that this place is, in the table.
    pub fn table_field(self) -> Option<FieldId> {
        match self.0 {
            Place::Field(field) => Some(field),
            _ => None,
        }
    }

    /// The type of the table whose values stand here.
    pub fn table_type(self) -> Option<TypeId> {
        match self.0 {
            Place::Type(id) => Some(id),
            Place::Field(field) if field.container() != Container::Single => None,
            Place::Field(field) | Place::Inner(field) => match field.element() {
                Element::Type(id) => Some(id),
                Element::Scalar(_) => None,
            },
            _ => None,
        }
    }

    /// The CRD's schema of this place.
    pub fn structural(self) -> Option<&'a Structural> {
        match self.0 {
            Place::Custom(schema) => Some(schema),
            _ => None,
        }
    }

    /// What may stand here.
    pub fn shape(self) -> Shape {
        match self.0 {
            Place::Type(_) => Shape::Struct,
            Place::Field(field) if field.container() == Container::List => Shape::List,
            Place::Field(field) if field.container() == Container::Map => Shape::Map,
            Place::Field(field) | Place::Inner(field) => match field.element() {
                Element::Type(_) => Shape::Struct,
                Element::Scalar(number) => {
                    SCALARS.get(usize::from(number)).copied().unwrap_or(Shape::Json)
                }
            },
            Place::Text => Shape::String,
            Place::Any => Shape::Json,
            Place::Custom(schema) => match schema.kind {
                Kind::Object if schema.additional.is_some() => Shape::Map,
                Kind::Object => Shape::Struct,
                Kind::Array => Shape::List,
                Kind::String => Shape::String,
                Kind::Integer => Shape::Int64,
                Kind::Number => Shape::Double,
                Kind::Boolean => Shape::Bool,
                Kind::IntOrString => Shape::IntOrString,
                Kind::Unsaid => Shape::Json,
            },
        }
    }

    /// The place of a member, in an object with known fields. `None` for a name it does not know.
    pub fn field(self, name: &str) -> Option<Node<'a>> {
        if let Some(id) = self.table_type() {
            return id.field(name).map(|field| Node(Place::Field(field)));
        }
        match self.0 {
            Place::Custom(schema) => match name {
                "apiVersion" | "kind" if schema.embedded => Some(Node(Place::Text)),
                "metadata" if schema.embedded => TypeId::of_name(OBJECT_META).map(Node::of_type),
                _ => schema
                    .property(name)
                    .or_else(|| schema.preserve_unknown.then_some(Node(Place::Any))),
            },
            Place::Any => Some(self),
            _ => None,
        }
    }

    /// The known fields, in the order of their names.
    pub fn fields(self) -> Box<dyn Iterator<Item = (&'a str, Node<'a>)> + 'a> {
        if let Some(id) = self.table_type() {
            return Box::new(id.fields().map(|field| (field.name(), Node(Place::Field(field)))));
        }
        match self.0 {
            Place::Custom(schema) => Box::new(schema.all_properties()),
            _ => Box::new(iter::empty()),
        }
    }

    /// The place of each element of a list, or each value of a map.
    pub fn inner(self) -> Node<'a> {
        match self.0 {
            Place::Field(field) if field.container() != Container::Single => {
                Node(Place::Inner(field))
            }
            Place::Field(_) | Place::Inner(_) => match self.shape() {
                Shape::Strings => Node(Place::Text),
                Shape::SchemaOrArray | Shape::SchemaOrBool | Shape::SchemaOrStrings => {
                    TypeId::of_name(SCHEMA).map_or(Node(Place::Any), Node::of_type)
                }
                _ => Node(Place::Any),
            },
            Place::Custom(schema) => {
                let inner = schema.items.as_deref().or(schema.additional.as_deref());
                inner.map_or(Node(Place::Any), |inner| Node(Place::Custom(inner)))
            }
            _ => Node(Place::Any),
        }
    }

    /// The place of the member `name` of an object, whether its names are known or any.
    pub fn member(self, name: &str) -> Option<Node<'a>> {
        match self.shape() {
            Shape::Struct => self.field(name),
            Shape::Map => Some(self.inner()),
            _ if self.keeps_unknown() => Some(Node(Place::Any)),
            _ => None,
        }
    }

    /// Whether the place belongs to the table, where types are checked when a document is read; a
    /// CRD's are checked by its validation.
    pub fn is_built_in(self) -> bool {
        !matches!(self.0, Place::Custom(_) | Place::Any)
    }

    /// How writers share the list that stands here.
    pub fn list_kind(self) -> ListKind {
        let number = match self.0 {
            Place::Field(field) => field.list_type(),
            Place::Custom(schema) => schema.list_type,
            _ => 0,
        };
        match number {
            2 => ListKind::Set,
            3 => ListKind::Map,
            _ => ListKind::Atomic,
        }
    }

    /// The fields that tell a list's elements apart.
    pub fn list_keys(self) -> Box<dyn Iterator<Item = &'a str> + 'a> {
        match self.0 {
            Place::Field(field) => Box::new(field.keys().map(|key| -> &'a str { key })),
            Place::Custom(schema) => Box::new(schema.list_keys.iter().map(|key| &**key)),
            _ => Box::new(iter::empty()),
        }
    }

    /// Whether one writer owns the whole object that stands here.
    pub fn is_atomic(self) -> bool {
        let of_type = self.table_type().is_some_and(TypeId::is_atomic);
        of_type
            || match self.0 {
                Place::Field(field) => field.is_atomic_map(),
                Place::Custom(schema) => schema.atomic,
                _ => false,
            }
    }

    /// Whether a strategic merge patch merges the list, rather than replaces it.
    pub fn patch_merges(self) -> bool {
        self.table_field().is_some_and(FieldId::patch_merges)
    }

    /// Whether a strategic merge patch may drop members that it does not name.
    pub fn patch_retains_keys(self) -> bool {
        self.table_field().is_some_and(FieldId::patch_retains_keys)
    }

    /// The field by which a strategic merge patch tells elements apart; `None` for lists of scalars.
    pub fn merge_key(self) -> Option<&'static str> {
        self.table_field().and_then(FieldId::merge_key)
    }

    /// Whether members that are not known are kept.
    pub fn keeps_unknown(self) -> bool {
        match self.0 {
            Place::Any => true,
            Place::Custom(schema) => schema.preserve_unknown,
            _ => false,
        }
    }

    /// The name that messages have for the type, as Go spells it.
    pub fn go_type(self) -> &'static str {
        match self.shape() {
            Shape::Struct => {
                self.table_type().map_or("map[string]interface {}", TypeId::short_name)
            }
            Shape::Map => "map[string]interface {}",
            Shape::List => "[]interface {}",
            Shape::Bool => "bool",
            Shape::Int32 => "int32",
            Shape::Int64 => "int64",
            Shape::Double => "float64",
            _ => "string",
        }
    }
}
