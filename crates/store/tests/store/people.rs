//! What migration 0012 makes of what was there, and the rows of people.

use std::sync::Arc;

use naru_model::authorise::Permission;
use naru_model::effect::Unobserved;
use naru_model::role::{LocalRole, Role};
use naru_model::{Clock, EnvironmentKey, OrganisationName, ProjectName, Timestamp};
use naru_store::audit::{AuditEntry, AuditFilter, AuditView};
use naru_store::{Store, StoreError};
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        "2026-11-21T10:00:00Z".parse().unwrap()
    }
}

async fn open(folder: &std::path::Path) -> Store {
    Store::open(&folder.join("naru.db"), Arc::new(Stopped), Arc::new(Unobserved)).await.unwrap()
}

async fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    (folder, store)
}

async fn raw(file: &std::path::Path) -> SqlitePool {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true).foreign_keys(true);
    SqlitePool::connect_with(options).await.unwrap()
}

/// A database of the version before.
async fn older(file: &std::path::Path) {
    let pool = raw(file).await;
    let mut migrator: Migrator = sqlx::migrate!();
    migrator.migrations.to_mut().retain(|migration| migration.version < 12);
    migrator.run(&pool).await.unwrap();
    for statement in [
        "INSERT INTO account (login, password_hash, created_at) VALUES ('minji', 'x', 7)",
        "INSERT INTO project (name, default_branch, created_at) VALUES ('shop', 'main', 8)",
        "INSERT INTO token (id, digest, kind, account, label, project, permissions, created_at)
         VALUES ('ci', 'x', 'project', 'minji', 'ci', 'shop', '[\"read\",\"deploy\",\"administer\"]', 9),
                ('me', 'x', 'account', 'minji', 'me', NULL, '[]', 9)",
        "INSERT INTO web_session (id, digest, account, created_at, expires_at) VALUES ('s', 'x', 'minji', 9, 99)",
        "INSERT INTO audit (at, login, credential, action, project, target, result)
         VALUES (9, 'minji', 'token:me', 'project.create', 'shop', '/', 'done')",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    pool.close().await;
}

#[tokio::test]
async fn who_was_there_before_may_do_what_they_could() {
    let folder = tempfile::tempdir().unwrap();
    older(&folder.path().join("naru.db")).await;
    let store = open(folder.path()).await;
    let minji = store.account("minji").await.unwrap().unwrap();
    assert!(minji.administrator && minji.disabled_at.is_none());
    let main = OrganisationName::main();
    assert_eq!(store.role_in("minji", &main).await.unwrap(), Some(Role::Owner));
    let shop: ProjectName = "shop".parse().unwrap();
    assert_eq!(store.project(&shop).await.unwrap().unwrap().organisation, main);
    let ci = store.token("ci").await.unwrap().unwrap();
    let expected = [
        Permission::Read,
        Permission::Deploy,
        Permission::Administer,
        Permission::Configure,
        Permission::Delete,
    ];
    assert_eq!(ci.permissions, expected);
    assert_eq!(store.token("me").await.unwrap().unwrap().permissions, []);
    let (session, holder) = store.session("s").await.unwrap().unwrap();
    assert!(holder.administrator && session.authenticated_at.is_none());
    let view = AuditView { organisations: vec![main], ..AuditView::default() };
    let lines = store.audit(&view, &AuditFilter::default(), 10).await.unwrap();
    assert_eq!(lines.len(), 1);
}

#[tokio::test]
async fn the_audit_log_cannot_be_changed() {
    let (folder, store) = store().await;
    let entry = AuditEntry { login: "minji", action: "x.y", result: "done", ..AuditEntry::default() };
    store.record_audit(entry).await.unwrap();
    let pool = raw(&folder.path().join("naru.db")).await;
    for statement in ["UPDATE audit SET login = 'other'", "DELETE FROM audit"] {
        let refused = sqlx::query(statement).execute(&pool).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{refused}");
    }
}

async fn two_people(store: &Store) -> (OrganisationName, ProjectName) {
    let ours: OrganisationName = "ours".parse().unwrap();
    let shop: ProjectName = "shop".parse().unwrap();
    for login in ["minji", "yuna"] {
        store.create_account(login, "").await.unwrap();
    }
    store.create_organisation(&ours, "Ours", "minji").await.unwrap();
    store.join(&ours, "yuna", Role::Developer).await.unwrap();
    store.create_project_in(&ours, &shop, &"main".parse().unwrap(), None).await.unwrap();
    (ours, shop)
}

#[tokio::test]
async fn an_organisation_keeps_an_owner() {
    let (_folder, store) = store().await;
    let (ours, _) = two_people(&store).await;
    let refused = store.set_member_role(&ours, "minji", Role::Viewer).await.unwrap_err();
    assert!(matches!(refused, StoreError::Stale(_)));
    assert!(matches!(store.remove_member(&ours, "minji").await, Err(StoreError::Stale(_))));
    assert_eq!(store.role_in("minji", &ours).await.unwrap(), Some(Role::Owner), "nothing was changed");
    store.set_member_role(&ours, "yuna", Role::Owner).await.unwrap();
    store.remove_member(&ours, "minji").await.unwrap();
    assert!(matches!(store.delete_organisation(&ours).await, Err(StoreError::Stale(_))), "it has a project");
}

#[tokio::test]
async fn roles_for_a_project_go_with_the_member() {
    let (_folder, store) = store().await;
    let (ours, shop) = two_people(&store).await;
    let key = EnvironmentKey { project: shop.clone(), environment: "production".parse().unwrap() };
    store.ensure_environment(&key, None).await.unwrap();
    store.set_project_role(&shop, "yuna", Some(LocalRole::Maintainer)).await.unwrap();
    store.set_environment_role(&key, "yuna", Some(LocalRole::None)).await.unwrap();
    let standing = store.standing("yuna", &shop, Some(&key.environment)).await.unwrap().unwrap();
    assert_eq!(
        (standing.organisation, standing.project, standing.environment, standing.protected),
        (Role::Developer, Some(LocalRole::Maintainer), Some(LocalRole::None), false)
    );
    assert_eq!(store.project_roles(&shop).await.unwrap().len(), 2);
    store.remove_member(&ours, "yuna").await.unwrap();
    assert_eq!(store.project_roles(&shop).await.unwrap(), []);
    assert_eq!(store.standing("yuna", &shop, None).await.unwrap(), None);
    let stranger = store.set_project_role(&shop, "yuna", Some(LocalRole::Owner)).await.unwrap_err();
    assert!(matches!(stranger, StoreError::Missing(_)));
}

#[tokio::test]
async fn a_release_waits_before_a_protected_environment() {
    let (_folder, store) = store().await;
    let (_, shop) = two_people(&store).await;
    let key = EnvironmentKey { project: shop.clone(), environment: "production".parse().unwrap() };
    let main = "main".parse().unwrap();
    store.ensure_environment(&key, Some(&main)).await.unwrap();
    store.protect_environment(&key, true).await.unwrap();
    store.follow_release(std::slice::from_ref(&key), &main, naru_model::ReleaseNumber(1)).await.unwrap();
    let row = store.environment(&key).await.unwrap().unwrap();
    assert_eq!(row.considered_release, naru_model::ReleaseNumber(1));
    assert!(store.pending_intents(&shop).await.unwrap().is_empty());
    store.protect_environment(&key, false).await.unwrap();
    store.follow_release(std::slice::from_ref(&key), &main, naru_model::ReleaseNumber(2)).await.unwrap();
    assert_eq!(store.pending_intents(&shop).await.unwrap().len(), 1);
}
