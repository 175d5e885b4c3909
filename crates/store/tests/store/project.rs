//! What is said about projects, who keeps them at hand, and the lists of them.

use naru_model::OrganisationName;
use naru_model::role::Role;
use naru_store::StoreError;
use naru_store::listing::{ProjectLine, ProjectQuery, ProjectSort};
use naru_store::project::About;

use crate::{Fixture, fixture};

async fn with_people() -> Fixture {
    let f = fixture().await;
    for login in ["minji", "yuna"] {
        f.store.create_account(login, "").await.unwrap();
    }
    f.store.join(&OrganisationName::main(), "minji", Role::Owner).await.unwrap();
    f
}

fn owned_by(login: &str) -> About {
    About {
        summary: "Sells things".to_owned(),
        description: "More\n\nabout it".to_owned(),
        owner: Some(login.to_owned()),
        contacts: vec!["On call: oncall@example.com".parse().unwrap()],
    }
}

#[tokio::test]
async fn an_owner_is_a_member_when_they_are_named_and_may_be_gone_later() {
    let f = with_people().await;
    let (main, shop) = (OrganisationName::main(), &f.key.project);
    let stranger = f.store.describe_project(shop, &owned_by("yuna")).await;
    assert!(matches!(&stranger, Err(StoreError::Missing(what)) if what == "member yuna"), "{stranger:?}");
    assert_eq!(f.store.project(shop).await.unwrap().unwrap().about, About::default(), "nothing was changed");

    f.store.join(&main, "yuna", Role::Viewer).await.unwrap();
    f.store.describe_project(shop, &owned_by("yuna")).await.unwrap();
    f.store.remove_member(&main, "yuna").await.unwrap();
    let about = f.store.project(shop).await.unwrap().unwrap().about;
    assert_eq!(about, owned_by("yuna"), "what was said outlives the membership");
    let more = About { summary: "Sells more".to_owned(), ..about };
    f.store.describe_project(shop, &more).await.unwrap();
    let nobody = f.store.describe_project(&"none".parse().unwrap(), &more).await;
    assert!(matches!(nobody, Err(StoreError::Missing(_))), "{nobody:?}");
}

#[tokio::test]
async fn favourites_are_each_accounts_own_and_end_with_the_project() {
    let f = with_people().await;
    let shop = &f.key.project;
    for _ in 0..2 {
        f.store.set_favourite("minji", shop, true).await.unwrap();
    }
    assert!(f.store.is_favourite("minji", shop).await.unwrap());
    assert!(!f.store.is_favourite("yuna", shop).await.unwrap());
    f.store.set_favourite("minji", &"none".parse().unwrap(), true).await.unwrap();
    assert_eq!(f.store.favourites_of("minji").await.unwrap().len(), 1, "of what is there");
    f.store.set_favourite("minji", shop, false).await.unwrap();
    assert!(!f.store.is_favourite("minji", shop).await.unwrap());
    f.store.set_favourite("minji", shop, true).await.unwrap();
    f.store.forget_project(shop).await.unwrap();
    assert!(f.store.favourites_of("minji").await.unwrap().is_empty());
}

#[tokio::test]
async fn lists_are_searched_by_summary_and_every_page_has_its_rows_in_order() {
    let f = with_people().await;
    for number in 0..25 {
        let name = format!("p{number:02}").parse().unwrap();
        f.store.create_project(&name, &"main".parse().unwrap()).await.unwrap();
    }
    f.store.describe_project(&f.key.project, &owned_by("minji")).await.unwrap();
    f.store.set_favourite("minji", &f.key.project, true).await.unwrap();
    let names = |lines: Vec<ProjectLine>| -> Vec<String> {
        lines.into_iter().map(|line| line.name.to_string()).collect()
    };
    for sort in [ProjectSort::Name, ProjectSort::Severity, ProjectSort::Activity] {
        let mut seen = Vec::new();
        for page in 0..6 {
            let query =
                ProjectQuery { account: "minji", sort, offset: page * 5, limit: 5, ..Default::default() };
            seen.extend(names(f.store.list_projects(&query).await.unwrap()));
            assert_eq!(f.store.count_projects(&query).await.unwrap(), 26);
        }
        assert!(seen.is_sorted() && seen.len() == 26, "{sort:?} {seen:?}");
    }
    let found = ProjectQuery { account: "minji", search: "SELLS", limit: 9, ..Default::default() };
    let lines = f.store.list_projects(&found).await.unwrap();
    assert_eq!((lines.len(), lines[0].summary.as_str(), lines[0].favourite), (1, "Sells things", true));
    let mine = ProjectQuery { account: "minji", favourites: true, limit: 9, ..Default::default() };
    assert_eq!(names(f.store.list_projects(&mine).await.unwrap()), ["shop"]);
    assert_eq!(f.store.count_projects(&mine).await.unwrap(), 1);
    let strangers = ProjectQuery { account: "yuna", limit: 9, ..Default::default() };
    assert_eq!(f.store.count_projects(&strangers).await.unwrap(), 0);
}
