//! Reading what providers say about people: their groups, and texts that are shown.

use serde_json::Value;

/// A JSON object.
pub(crate) type Json = serde_json::Map<String, Value>;

/// Groups of one person that are looked at.
const MOST_GROUPS: usize = 2000;
/// Longer names of groups are left out.
const LONGEST_GROUP: usize = 200;
/// How much of a provider's words is shown.
const LONGEST_WORDS: usize = 300;

/// The groups in a claim: a list of names, or one name. The claim is a key, or a path of keys with dots between, such as
/// Keycloak's `realm_access.roles`. `None` when there is no such claim.
pub(crate) fn groups(claims: &Json, claim: &str) -> Option<Vec<String>> {
    let value = claims.get(claim).or_else(|| {
        let mut keys = claim.split('.');
        let first = claims.get(keys.next()?)?;
        keys.try_fold(first, |value, key| value.get(key))
    })?;
    let listed = match value {
        Value::Array(values) => values.iter().take(MOST_GROUPS).filter_map(Value::as_str).collect(),
        Value::String(one) => vec![one.as_str()],
        _ => Vec::new(),
    };
    let usable = listed.into_iter().filter(|name| !name.is_empty() && name.chars().count() <= LONGEST_GROUP);
    Some(usable.map(str::to_owned).collect())
}

/// A provider's words, safe to show: without control characters, not too long.
pub(crate) fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST_WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(claims: &Value, claim: &str) -> Option<Vec<String>> {
        groups(claims.as_object().unwrap(), claim)
    }

    #[test]
    fn groups_are_found_by_key_and_by_path() {
        let claims = json!({
            "groups": ["/a", "/b", 7, ""],
            "realm_access": { "roles": ["owner"] },
            "https://example.com/groups": "one",
            "odd": { "x": 1 },
        });
        assert_eq!(of(&claims, "groups").unwrap(), ["/a", "/b"]);
        assert_eq!(of(&claims, "realm_access.roles").unwrap(), ["owner"]);
        assert_eq!(of(&claims, "https://example.com/groups").unwrap(), ["one"]);
        assert_eq!(of(&claims, "odd").unwrap(), [""; 0]);
        for missing in ["other", "realm_access.others", "groups.0", "", "."] {
            assert_eq!(of(&claims, missing), None, "{missing}");
        }
    }

    #[test]
    fn what_is_too_much_is_left_out() {
        let many: Vec<String> = (0..MOST_GROUPS + 10).map(|n| n.to_string()).collect();
        assert_eq!(of(&json!({ "g": many }), "g").unwrap().len(), MOST_GROUPS);
        assert_eq!(of(&json!({ "g": ["x".repeat(LONGEST_GROUP + 1)] }), "g").unwrap(), [""; 0]);
        assert_eq!(short("a\u{1b}[31mb\nc"), "a[31mbc");
    }
}
