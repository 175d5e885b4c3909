//! The second factor, versions of settings and their export, and servers that are not asked in the clear.

use serde_json::json;

use crate::world::World;

const PRODUCTION: &str = "/api/v1/projects/shop/environments/production";

#[tokio::test]
async fn a_code_is_sent_with_the_password_when_there_is_one() {
    let issued = json!({ "id": "ab", "token": "naru_fresh", "login": "minji" });
    let world = World::new().await.on("POST /api/v1/login", 201, &issued);
    let line = format!("login {} --login minji", world.url);
    for (input, sent) in
        [("secret\n123456\n", r#""code":"123456""#), ("secret\n\n", r#""password":"secret","label""#)]
    {
        let ended = world.run_with_input(&line, input).await;
        assert_eq!(ended.code, 0, "{ended}");
        let asked = world.asked().last().unwrap().line.clone();
        assert!(asked.contains(sent), "{asked}");
        assert!(!ended.to_string().contains("123456"), "{ended}");
    }
}

#[tokio::test]
async fn a_second_factor_is_set_up_from_a_terminal() {
    let begun = json!({ "secret": "ABCD", "link": "otpauth://totp/x" });
    let codes = json!({ "codes": ["aaaa-bbbb", "cccc-dddd"] });
    let world = World::new()
        .await
        .on("GET /api/v1/account/totp", 200, &json!({ "on": true, "begun": false, "recovery_codes": 9 }))
        .on("POST /api/v1/account/totp/begin", 201, &begun)
        .on("POST /api/v1/account/totp/confirm", 200, &codes)
        .on("POST /api/v1/account/totp/off", 204, &json!(null));
    assert_eq!(world.run("account totp status").await.out, "on, 9 recovery codes are left\n");
    let begun = world.run_with_input("account totp begin", "secret\n").await;
    assert_eq!((begun.code, begun.out.as_str()), (0, "ABCD\notpauth://totp/x\n"));
    let confirmed = world.run_with_input("account totp confirm", "123456\n").await;
    assert_eq!(confirmed.out, "aaaa-bbbb\ncccc-dddd\n");
    assert!(world.asked().last().unwrap().line.ends_with(r#"{"code":"123456"}"#));
    assert_eq!(world.run_with_input("account totp off", "secret\n").await.code, 0);
}

#[tokio::test]
async fn versions_are_shown_as_what_was_taken_away_and_put_there() {
    let difference = json!({ "from": 3, "to": 5, "added": { "C": "3" }, "removed": { "A": "1" },
        "changed": { "B": { "from": "x", "to": "y" } } });
    let names = json!({ "from": 3, "to": 5, "added": ["C"], "removed": ["A"], "changed": ["B"] });
    let same = json!({ "from": 3, "to": 3, "added": {}, "removed": {}, "changed": {} });
    let world = World::new()
        .await
        .on(&format!("GET {PRODUCTION}/configuration/difference?from=3"), 200, &difference)
        .on(&format!("GET {PRODUCTION}/configuration/difference?from=3&to=3"), 200, &same)
        .on(&format!("GET {PRODUCTION}/secret-versions/difference?from=3"), 200, &names)
        .on(&format!("POST {PRODUCTION}/configuration/restore"), 200, &json!({ "version": 6, "intent": 1 }))
        .on(
            &format!("POST {PRODUCTION}/secret-versions/restore"),
            200,
            &json!({ "version": 6, "intent": 1, "revoked": ["OLD"] }),
        );
    assert_eq!(world.run("env diff 3").await.out, "- A=1\n- B=x\n+ B=y\n+ C=3\n");
    assert!(world.run("env diff 3 3").await.err.contains("versions 3 and 3 are the same"));
    assert_eq!(world.run("secret diff 3").await.out, "- A\n~ B\n+ C\n");
    assert!(world.run("env restore 3").await.err.contains("version 6 has the variables of version 3"));
    let restored = world.run("secret restore 3").await;
    assert!(restored.err.contains("OLD was revoked"), "{restored}");
}

#[tokio::test]
async fn exports_are_files_that_can_be_read_again() {
    let values =
        json!({ "values": { "KEY": "line 1\nline 2", "URL": "postgres://a?b=c", "WORDS": "two words" } });
    let mut world = World::new().await.on(&format!("POST {PRODUCTION}/secret-export"), 200, &values).text(
        &format!("GET {PRODUCTION}/configuration/export"),
        200,
        "A=1\nB='2 3'\n",
        "text/plain",
    );
    assert_eq!(world.run("env export").await.out, "A=1\nB='2 3'\n");
    let file = "KEY=\"line 1\\nline 2\"\nURL='postgres://a?b=c'\nWORDS='two words'\n";
    assert_eq!(world.run("secret export").await.out, file);
    world.draws = true;
    assert!(!world.run("secret export").await.out.contains('\u{1b}'));
}

#[tokio::test]
async fn settings_of_all_environments_have_their_own_addresses() {
    let world = World::new()
        .await
        .on("PUT /api/v1/projects/shop/configuration", 200, &json!({ "version": 2 }))
        .on("PUT /api/v1/projects/shop/shared-secrets/KEY", 200, &json!({ "version": 1 }));
    assert!(world.run("env set A=1 --shared").await.err.contains("version 2 for all environments"));
    assert_eq!(world.run_with_input("secret set KEY --shared", "x").await.code, 0);
    assert_eq!(world.run("env set A=1 --shared -e staging").await.code, 2);
}

#[tokio::test]
async fn nothing_is_sent_to_another_machine_in_the_clear_unless_told() {
    let mut world = World::new().await;
    world.variables.insert("NARU_URL".to_owned(), "http://naru.example.com".to_owned());
    for line in ["whoami", "login --login minji", "login http://10.1.2.3 --token-stdin"] {
        let refused = world.run_with_input(line, "secret\n").await;
        assert_eq!(refused.code, 2, "{refused}");
        assert!(refused.err.contains("cli.insecure") && refused.err.contains("--insecure-http"), "{refused}");
    }
    // Nobody listens there: that it is tried is enough.
    world.variables.insert("NARU_URL".to_owned(), "http://naru.invalid:9".to_owned());
    assert!(world.run("whoami --insecure-http").await.err.contains("cli.unreachable"));
}
