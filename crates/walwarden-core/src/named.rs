//! Enums whose values have stable names: in tables, in the audit log, in manifests.

/// `Display`, `FromStr` and JSON by the stable name, for an enum with a constant array `ALL` and a function `name()`.
/// The text says what it is, for the error: "unknown depth".
macro_rules! named {
    ($type:ty, $what:literal) => {
        impl ::std::fmt::Display for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl ::std::str::FromStr for $type {
            type Err = $crate::error::Error;

            /// The value with exactly this name; anything else is `InvalidInput`.
            fn from_str(name: &str) -> $crate::error::Result<Self> {
                Self::ALL.into_iter().find(|value| value.name() == name).ok_or_else(|| {
                    let known = Self::ALL.map(Self::name).join(", ");
                    $crate::error::Error::invalid(format!("unknown {} \"{name}\"", $what))
                        .hint(format!("Known are: {known}."))
                })
            }
        }

        impl ::serde::Serialize for $type {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $type {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = <String as ::serde::Deserialize>::deserialize(deserializer)?;
                name.parse().map_err(::serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use named;
