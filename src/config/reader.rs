//! Reads a [`Node`] as a room's `Options`, through serde, and says of a mistake where it was written.
//!
//! Beside the value it notes which keys each place takes, so that a test can hold the example against the real types.

use std::cell::RefCell;

use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::tree::{Kind, Node, Place, Step};

/// Why a tree is not the wanted type. One mistake; [`super::load`] sets its node aside and reads again.
#[derive(Debug, Clone)]
pub struct Wrong {
    /// What.
    pub what: What,
    /// Where, once known.
    pub place: Option<Place>,
    /// Path to the node to set aside, once known.
    pub path: Option<Vec<Step>>,
}

/// The kinds of mistakes serde can find.
#[derive(Debug, Clone)]
pub enum What {
    /// A key that is not known there, and those that are.
    UnknownKey(String, &'static [&'static str]),
    /// A key that must be there.
    Missing(&'static str),
    /// Anything about a value, in words.
    Value(String),
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.what)
    }
}
impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self { what: What::Value(message.to_string()), place: None, path: None }
    }
    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self { what: What::UnknownKey(field.to_owned(), expected), place: None, path: None }
    }
    fn missing_field(field: &'static str) -> Self {
        Self { what: What::Missing(field), place: None, path: None }
    }
}

/// Which keys a place takes: noted while reading.
pub type Seen = RefCell<Vec<(Vec<Step>, &'static [&'static str])>>;

/// A serde deserializer over a node.
#[derive(Clone)]
pub struct Reader<'a> {
    node: &'a Node,
    path: Vec<Step>,
    seen: &'a Seen,
}

impl<'a> Reader<'a> {
    /// Reads from the root.
    pub fn new(node: &'a Node, seen: &'a Seen) -> Self {
        Self { node, path: Vec::new(), seen }
    }

    fn below(&self, step: Step, node: &'a Node) -> Self {
        let mut path = self.path.clone();
        path.push(step);
        Self { node, path, seen: self.seen }
    }

    /// Adds the place to a mistake that does not know it yet, and takes hidden text out of it.
    fn placed<T>(&self, result: Result<T, Wrong>) -> Result<T, Wrong> {
        result.map_err(|mut wrong| {
            if wrong.path.is_none() {
                wrong.path = Some(self.path.clone());
                wrong.place = Some(self.node.place);
                if let (Some(origin), Kind::Text(text), What::Value(says)) =
                    (&self.node.hidden, &self.node.kind, &mut wrong.what)
                {
                    *says = if text.is_empty() {
                        format!("the value of {origin} is empty")
                    } else {
                        says.replace(text, origin)
                    };
                }
            }
            wrong
        })
    }

    /// Text that came from a variable may stand for a number or a truth value; text written in the file may not.
    fn parsed<T: std::str::FromStr>(&self) -> Option<T> {
        match (&self.node.kind, &self.node.hidden) {
            (Kind::Text(text), Some(_)) => text.trim().parse().ok(),
            _ => None,
        }
    }

    fn text(&self) -> Option<&'a str> {
        self.node.text()
    }

    fn any<V: Visitor<'a>>(&self, visitor: V) -> Result<V::Value, Wrong> {
        let result = match &self.node.kind {
            Kind::Null | Kind::Gone => visitor.visit_unit(),
            Kind::Bool(value, _) => visitor.visit_bool(*value),
            Kind::Whole(value, _) => u64::try_from(*value)
                // The visitor is used once, so which of the two is decided before.
                .map_or(Number::Negative(*value), Number::Positive)
                .visit(visitor),
            Kind::Number(value, _) => visitor.visit_f64(*value),
            Kind::Text(text) => visitor.visit_borrowed_str(text),
            Kind::List(items) => visitor.visit_seq(Items { reader: self, items, next: 0 }),
            Kind::Map(entries) => visitor.visit_map(Entries { reader: self, entries, next: 0, value: None }),
        };
        self.placed(result)
    }
}

enum Number {
    Positive(u64),
    Negative(i64),
}

impl Number {
    fn visit<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self {
            Self::Positive(value) => visitor.visit_u64(value),
            Self::Negative(value) => visitor.visit_i64(value),
        }
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty),*) => {$(
        fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
            match self.parsed::<$type>() {
                Some(value) => self.placed(visitor.$visit(value)),
                None => self.any(visitor),
            }
        }
    )*};
}

impl<'a> Deserializer<'a> for Reader<'a> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.any(visitor)
    }

    numbers!(
        deserialize_bool visit_bool bool,
        deserialize_i8 visit_i64 i64, deserialize_i16 visit_i64 i64, deserialize_i32 visit_i64 i64, deserialize_i64 visit_i64 i64,
        deserialize_u8 visit_u64 u64, deserialize_u16 visit_u64 u64, deserialize_u32 visit_u64 u64, deserialize_u64 visit_u64 u64,
        deserialize_f32 visit_f64 f64, deserialize_f64 visit_f64 f64
    );

    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.text() {
            Some(text) => self.placed(visitor.visit_borrowed_str(text)),
            None => self.any(visitor),
        }
    }
    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_str(visitor)
    }
    fn deserialize_char<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_str(visitor)
    }
    fn deserialize_identifier<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_str(visitor)
    }
    fn deserialize_bytes<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_str(visitor)
    }
    fn deserialize_byte_buf<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.node.kind {
            Kind::Null | Kind::Gone => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }
    fn deserialize_unit<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.any(visitor)
    }
    fn deserialize_unit_struct<V: Visitor<'a>>(self, _: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        self.any(visitor)
    }
    fn deserialize_newtype_struct<V: Visitor<'a>>(self, _: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        let outer = self.clone();
        outer.placed(visitor.visit_newtype_struct(self))
    }

    /// A key without a value (all below it commented out) is an empty list.
    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.node.kind {
            Kind::Null => self.placed(visitor.visit_seq(Items { reader: &self, items: &[], next: 0 })),
            _ => self.any(visitor),
        }
    }
    fn deserialize_tuple<V: Visitor<'a>>(self, _: usize, visitor: V) -> Result<V::Value, Wrong> {
        self.any(visitor)
    }
    fn deserialize_tuple_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.any(visitor)
    }
    /// A key without a value is an empty map.
    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.node.kind {
            Kind::Null => self.placed(visitor.visit_map(Entries { reader: &self, entries: &[], next: 0, value: None })),
            _ => self.any(visitor),
        }
    }
    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.seen.borrow_mut().push((self.path.clone(), fields));
        if matches!(self.node.kind, Kind::List(_)) {
            // serde would take the items for the keys' values in their order.
            return self.placed(Err(de::Error::custom("keys and values are wanted here, not a list")));
        }
        self.deserialize_map(visitor)
    }
    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let result = match &self.node.kind {
            Kind::Map(entries) => {
                match entries.iter().filter(|(_, value)| value.kind != Kind::Gone).collect::<Vec<_>>()[..] {
                    [(key, value)] => visitor.visit_enum(Variant {
                        name: &key.name,
                        value: Some(self.below(Step::Key(key.name.clone()), value)),
                    }),
                    _ => Err(de::Error::custom("one key is wanted here, naming which of the kinds it is")),
                }
            }
            _ => match self.text() {
                Some(name) => visitor.visit_enum(Variant { name, value: None }),
                None => return self.any(visitor),
            },
        };
        self.placed(result)
    }
    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_unit()
    }
}

struct Items<'r, 'a> {
    reader: &'r Reader<'a>,
    items: &'a [Node],
    next: usize,
}

impl<'a> SeqAccess<'a> for Items<'_, 'a> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, Wrong> {
        while let Some(item) = self.items.get(self.next) {
            let reader = self.reader.below(Step::Item(self.next), item);
            self.next += 1;
            if item.kind != Kind::Gone {
                return reader.clone().placed(seed.deserialize(reader)).map(Some);
            }
        }
        Ok(None)
    }
}

struct Entries<'r, 'a> {
    reader: &'r Reader<'a>,
    entries: &'a [(super::tree::Key, Node)],
    next: usize,
    value: Option<Reader<'a>>,
}

impl<'a> MapAccess<'a> for Entries<'_, 'a> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        while let Some((key, value)) = self.entries.get(self.next) {
            self.next += 1;
            if value.kind == Kind::Gone {
                continue;
            }
            let below = self.reader.below(Step::Key(key.name.clone()), value);
            let path = below.path.clone();
            self.value = Some(below);
            let name: de::value::StrDeserializer<'_, Wrong> = key.name.as_str().into_deserializer();
            return seed.deserialize(name).map(Some).map_err(|mut wrong| {
                if wrong.path.is_none() {
                    wrong.path = Some(path);
                    wrong.place = Some(key.place);
                }
                wrong
            });
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        match self.value.take() {
            Some(reader) => reader.clone().placed(seed.deserialize(reader)),
            None => Err(de::Error::custom("a value was asked for before its key")),
        }
    }
}

struct Variant<'a> {
    name: &'a str,
    value: Option<Reader<'a>>,
}

impl<'a> EnumAccess<'a> for Variant<'a> {
    type Error = Wrong;
    type Variant = Content<'a>;

    fn variant_seed<V: DeserializeSeed<'a>>(self, seed: V) -> Result<(V::Value, Content<'a>), Wrong> {
        let name: de::value::StrDeserializer<'_, Wrong> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, Content(self.value)))
    }
}

/// What stands below a variant's name.
pub struct Content<'a>(Option<Reader<'a>>);

impl<'a> Content<'a> {
    fn value(self) -> Result<Reader<'a>, Wrong> {
        self.0.ok_or_else(|| de::Error::custom("this kind needs a value below its name"))
    }
}

impl<'a> VariantAccess<'a> for Content<'a> {
    type Error = Wrong;

    fn unit_variant(self) -> Result<(), Wrong> {
        match self.0 {
            Some(reader) if reader.node.kind != Kind::Null => {
                Err(de::Error::custom("this kind takes no value below its name"))
            }
            _ => Ok(()),
        }
    }
    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<T::Value, Wrong> {
        let reader = self.value()?;
        reader.clone().placed(seed.deserialize(reader))
    }
    fn tuple_variant<V: Visitor<'a>>(self, _: usize, visitor: V) -> Result<V::Value, Wrong> {
        self.value()?.deserialize_seq(visitor)
    }
    fn struct_variant<V: Visitor<'a>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Wrong> {
        self.value()?.deserialize_struct("", fields, visitor)
    }
}
