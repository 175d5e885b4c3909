//! `naru.yaml`: types, parsing, validation.
