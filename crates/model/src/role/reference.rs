//! The page `docs/reference/permissions.md`, written from the table.

use std::fmt::Write as _;

use super::{Holder, Role, Row, TABLE};

const HEAD: &str = "# Who may do what

This page is generated from the table in `crates/model/src/role.rs`; `NARU_UPDATE=1 cargo nextest run -p naru-model
the_published_permissions_are_current` renews it. Which route asks for what stands in [openapi.json](openapi.json), as
`x-naru-rule` of each operation; git and the registry ask for `read`, `push-source`, `push-deploy` and `push-image`.

## In an organisation

An account is a member of an organisation with one role. For one project, and for one environment of it, another role can
stand in its place, or `none`, which takes the access away. The environment's role counts there; else the project's; else the
organisation's. Who has no role is answered as if the thing were missing: same status, same text, same headers.

";

const TAIL: &str = "
In a **protected** environment what asks for `deploy` asks for `deploy-protected` instead, and releases are not delivered by
themselves: somebody who may deploy them does it.

The deploy repository holds the manifests of every environment. To clone it takes `read`, and to push to it `push-deploy`, in
the project and in each of its environments.

## On the instance

| permission | who | to do what |
|---|---|---|
";

const END: &str = "
Instance administrators are members of an organisation only when they are added to it: what teams keep secret is not theirs
by office. They see the names of organisations and accounts, can disable accounts, and can make links that set a new password.

## Tokens

A token may at most what its account may at the moment it is used, cut down to

* its **permissions**: without any it may all that its account may. With some it may those, never change the account itself,
  and `use-instance` comes with `read`;
* its **project**: everything else answers as if it were missing;
* its **environment**: in the others of the project it may nothing, and of the project itself it may `read`, if that is among its
  permissions.

The account that is disabled takes its tokens and sessions with it. Naru's own tokens, for pulls and pushes of the engine, live a
day at most and hold `read` and `push-image`.
";

/// The whole page.
pub fn reference() -> String {
    let mut out = HEAD.to_owned();
    out.push_str("| permission | viewer | developer | maintainer | owner | to do what |\n");
    out.push_str("|---|:-:|:-:|:-:|:-:|---|\n");
    for row in TABLE.iter().filter(|row| row.holder == Holder::Members) {
        let marks: Vec<&str> =
            Role::ALL.iter().map(|role| if row.roles.contains(role) { "●" } else { " " }).collect();
        let _ = writeln!(out, "| `{}` | {} | {} |", row.permission, marks.join(" | "), row.meaning);
    }
    out.push_str(TAIL);
    for row in TABLE {
        if let Some(who) = who(row) {
            let _ = writeln!(out, "| `{}` | {who} | {} |", row.permission, row.meaning);
        }
    }
    out.push_str(END);
    out
}

fn who(row: &Row) -> Option<&'static str> {
    match row.holder {
        Holder::Members => None,
        Holder::Everybody => Some("every account"),
        Holder::Administrators => Some("instance administrators"),
    }
}

#[cfg(test)]
mod tests {
    /// `NARU_UPDATE=1` writes the file again.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "a switch for developers")]
    fn the_published_permissions_are_current() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/permissions.md");
        if std::env::var_os("NARU_UPDATE").is_some() {
            std::fs::write(file, super::reference()).unwrap();
        }
        let published = std::fs::read_to_string(file).unwrap_or_default();
        assert!(
            published == super::reference(),
            "docs/reference/permissions.md is not current; run with NARU_UPDATE=1"
        );
    }
}
