//! JSON objects as dbt writes them.

use std::{fmt, marker::PhantomData};

use serde::de::{
    self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer,
};

/// A value that is written as an object: `serde` would take a struct from an array too.
#[derive(Debug, Clone)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(Object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// Whether a string says something; it isn't kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text {
    pub(crate) is_blank: bool,
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl Visitor<'_> for TextVisitor {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, text: &[u8]) -> Result<Text, E> {
                Ok(Text { is_blank: text.trim_ascii().is_empty() })
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                self.visit_bytes(text.as_bytes())
            }
        }

        // As bytes half a surrogate pair passes, which a literal of a model may hold.
        deserializer.deserialize_bytes(TextVisitor)
    }
}

/// Whether a value of any kind says something: not null, false, nor empty.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IsGiven(pub(crate) bool);

impl<'de> Deserialize<'de> for IsGiven {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct GivenVisitor;

        impl<'de> Visitor<'de> for GivenVisitor {
            type Value = IsGiven;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<IsGiven, A::Error> {
                let mut is_given = false;
                while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    is_given = true;
                }
                Ok(IsGiven(is_given))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<IsGiven, A::Error> {
                let mut is_given = false;
                while items.next_element::<IgnoredAny>()?.is_some() {
                    is_given = true;
                }
                Ok(IsGiven(is_given))
            }

            fn visit_bool<E>(self, value: bool) -> Result<IsGiven, E> {
                Ok(IsGiven(value))
            }

            fn visit_i64<E>(self, _: i64) -> Result<IsGiven, E> {
                Ok(IsGiven(true))
            }

            fn visit_u64<E>(self, _: u64) -> Result<IsGiven, E> {
                Ok(IsGiven(true))
            }

            fn visit_f64<E>(self, _: f64) -> Result<IsGiven, E> {
                Ok(IsGiven(true))
            }

            fn visit_str<E>(self, text: &str) -> Result<IsGiven, E> {
                Ok(IsGiven(!text.is_empty()))
            }

            fn visit_unit<E>(self) -> Result<IsGiven, E> {
                Ok(IsGiven(false))
            }
        }

        deserializer.deserialize_any(GivenVisitor)
    }
}

/// What is kept of the members of an object, or of the items of an array, while they are read one by one.
pub(crate) trait Collect: Default {
    /// A member's value, or an item.
    type Item;

    /// Takes what is to be kept of one; of an item the name is empty.
    fn take<E: de::Error>(&mut self, name: String, item: Self::Item) -> Result<(), E>;
}

/// An object, of which its collector keeps what it wants.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keyed<C>(pub(crate) C);

impl<'de, C: Collect<Item: Deserialize<'de>>> Deserialize<'de> for Keyed<C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyedVisitor<C>(C);

        impl<'de, C: Collect<Item: Deserialize<'de>>> Visitor<'de> for KeyedVisitor<C> {
            type Value = Keyed<C>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Self::Value, A::Error> {
                while let Some((name, item)) = members.next_entry()? {
                    self.0.take(name, item)?;
                }
                Ok(Keyed(self.0))
            }
        }

        deserializer.deserialize_map(KeyedVisitor(C::default()))
    }
}

/// An array, of which its collector keeps what it wants.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listed<C>(pub(crate) C);

impl<'de, C: Collect<Item: Deserialize<'de>>> Deserialize<'de> for Listed<C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListedVisitor<C>(C);

        impl<'de, C: Collect<Item: Deserialize<'de>>> Visitor<'de> for ListedVisitor<C> {
            type Value = Listed<C>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Self::Value, A::Error> {
                while let Some(item) = items.next_element()? {
                    self.0.take(String::new(), item)?;
                }
                Ok(Listed(self.0))
            }
        }

        deserializer.deserialize_seq(ListedVisitor(C::default()))
    }
}
