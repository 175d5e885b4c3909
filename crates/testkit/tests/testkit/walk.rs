//! The walk: every route of the API, of git and of the registry, asked by everybody. A route that is not in the list, or is
//! not there any more, fails it; so does an answer that tells a stranger more than a missing thing would.

mod list;
mod world;

use std::collections::BTreeSet;

use list::{LIST, Who};
use world::{Answer, Person, World};

/// `{…}` of a path, filled in. Names that stand for each other are equally long, so that answers can be compared whole.
fn filled(path: &str, project: &str, environment: &str) -> String {
    let digest = format!("sha256:{}", "0".repeat(64));
    let organisation = if project == "none" { "lost" } else { "ours" };
    let names = [
        ("{organisation}", organisation),
        ("{project}", project),
        ("{environment}", environment),
        ("{run}", "1"),
        ("{step}", "test"),
        ("{service}", "web"),
        ("{release}", "1"),
        ("{revision}", "1"),
        ("{intent}", "1"),
        ("{trigger}", "x"),
        ("{secret}", "KEY"),
        ("{host}", "x.example.com"),
        ("{login}", "nobody"),
        ("{provider}", "keycloak"),
        ("{id}", "x"),
        ("{repository}", "web"),
        ("{name}", "latest"),
        ("{digest}", &digest),
    ];
    names.iter().fold(path.to_owned(), |path, (name, value)| path.replace(name, value))
}

/// Whether the answer is the one of a thing that is not there: compared with the same question about nothing.
async fn assert_like_missing(world: &World, person: Person, line: &str) {
    let (method, path) = line.split_once(' ').unwrap();
    let there = world.ask(person, method, &filled(path, "shop", "staging")).await;
    let missing = world.ask(person, method, &filled(path, "none", "staging")).await;
    let rename = |text: &String| text.replace("shop", "none").replace("ours", "lost");
    let renamed = Answer {
        text: rename(&there.text),
        headers: there.headers.iter().map(|(name, value)| (name.clone(), rename(value))).collect(),
        status: there.status,
    };
    assert_eq!(renamed, missing, "{person:?} {line}");
    assert!(matches!(there.status, 401 | 404), "{person:?} {line}: {}", there.status);
}

async fn assert_allowed(world: &World, person: Person, line: &str, environment: &str) {
    let (method, path) = line.split_once(' ').unwrap();
    let path = filled(path, "shop", environment);
    let answer = world.ask(person, method, &path).await;
    assert!(!matches!(answer.status, 401 | 403), "{person:?} {line}: {answer:?}");
    assert!(
        !answer.text.contains("\"project `shop` does not exist")
            && !answer.text.contains("\"organisation `ours` does not exist")
            && !answer.text.contains("there is no project")
            && !answer.text.contains("source.no-repository"),
        "{person:?} {line}: {answer:?}"
    );
}

async fn assert_forbidden(world: &World, person: Person, line: &str, environment: &str) {
    let (method, path) = line.split_once(' ').unwrap();
    let answer = world.ask(person, method, &filled(path, "shop", environment)).await;
    assert_eq!(answer.status, 403, "{person:?} {line} in {environment}: {answer:?}");
}

fn routes() -> BTreeSet<String> {
    let document: serde_json::Value = serde_json::from_str(&naru_web::openapi_document()).unwrap();
    let mut routes = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            routes.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    routes.extend(naru_source::http::routes().iter().map(|(method, path)| format!("{method} {path}")));
    routes.extend(naru_image::registry::routes().iter().map(|(method, path)| format!("{method} {path}")));
    routes
}

/// A line of the list as the routers name its route.
fn route_of(line: &str) -> String {
    let route = line.split('?').next().unwrap_or_default();
    route.replace("{project}.deploy.git", "{repository}").replace("{project}.git", "{repository}")
}

#[test]
fn every_route_is_in_the_list() {
    let listed: BTreeSet<String> = LIST.iter().map(|(_, line)| route_of(line)).collect();
    let there = routes();
    let forgotten: Vec<_> = there.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&there).collect();
    assert!(forgotten.is_empty(), "say in walk/list.rs who may use {forgotten:#?}");
    assert!(gone.is_empty(), "no router has {gone:#?}");
}

#[tokio::test]
async fn nobody_learns_anything_without_a_login() {
    let world = World::new().await;
    for (who, line) in LIST {
        if *who != Who::Open {
            let (method, path) = line.split_once(' ').unwrap();
            let answer = world.ask(Person::Nobody, method, &filled(path, "shop", "staging")).await;
            assert_eq!(answer.status, 401, "{line}: {answer:?}");
            let missing = world.ask(Person::Nobody, method, &filled(path, "none", "staging")).await;
            assert_eq!(answer, missing, "{line}");
        }
    }
}

#[tokio::test]
async fn what_belongs_to_others_answers_like_what_is_not_there() {
    let world = World::new().await;
    // The owner of another organisation, an instance administrator, a member who has no access to this project, and a
    // token of an owner that was bound to another project.
    for person in [Person::Stranger, Person::Administrator, Person::Barred, Person::Bound] {
        for (who, line) in LIST {
            let is_others =
                line.contains("{project}") || (line.contains("{organisation}") && person != Person::Barred);
            if is_others {
                assert_like_missing(&world, person, line).await;
            } else if *who == Who::Administrators && person != Person::Administrator {
                assert_forbidden(&world, person, line, "staging").await;
            }
        }
    }
}

#[tokio::test]
async fn pages_tell_strangers_as_little() {
    let world = World::new().await;
    for route in naru_web::page_routes() {
        let line = format!("{} {}", route.method, route.path);
        if route.path.contains("{project}") || route.path.contains("{organisation}") {
            for person in [Person::Stranger, Person::Administrator, Person::Bound] {
                assert_like_missing(&world, person, &line).await;
            }
        }
        if !route.open {
            let answer =
                world.ask(Person::Nobody, route.method, &filled(route.path, "shop", "staging")).await;
            let to = answer.headers.get("location").map(String::as_str).unwrap_or_default();
            assert!(answer.status == 303 && to.starts_with("/login"), "{line}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn an_environment_that_was_taken_away_answers_like_one_that_is_not_there() {
    let world = World::new().await;
    for (_, line) in LIST.iter().filter(|(_, line)| line.contains("{environment}")) {
        let (method, path) = line.split_once(' ').unwrap();
        let there = world.ask(Person::Fenced, method, &filled(path, "shop", "staging")).await;
        assert_eq!(there.status, 404, "{line}: {there:?}");
        if method == "GET" {
            let missing = world.ask(Person::Fenced, method, &filled(path, "shop", "nowhere")).await;
            let renamed = Answer { text: there.text.replace("staging", "nowhere"), ..there };
            assert_eq!(renamed, missing, "{line}");
        }
    }
    // What holds every environment is closed, too; the rest of the project is not.
    let deploy = "/git/shop.deploy.git/info/refs?service=git-upload-pack";
    assert_eq!(world.ask(Person::Fenced, "GET", deploy).await.status, 404);
    assert_eq!(world.ask(Person::Fenced, "GET", "/api/v1/projects/shop").await.status, 200);
    let list = world.ask(Person::Fenced, "GET", "/api/v1/projects/shop/environments").await;
    assert!(list.text.contains("production") && !list.text.contains("staging"), "{list:?}");
}

#[tokio::test]
async fn every_role_may_what_the_list_says_and_no_more() {
    let world = World::new().await;
    for (who, line) in LIST {
        let Some(lowest) = who.lowest() else { continue };
        for person in Person::MEMBERS {
            let role = person.role().unwrap();
            if role < lowest {
                assert_forbidden(&world, person, line, "staging").await;
            } else {
                assert_allowed(&world, person, line, "staging").await;
            }
            // Where the environment is protected, deploying takes a maintainer.
            if *who == Who::Deployers {
                if role < naru_model::role::Role::Maintainer {
                    assert_forbidden(&world, person, line, "production").await;
                } else {
                    assert_allowed(&world, person, line, "production").await;
                }
            }
        }
    }
}

#[tokio::test]
async fn the_instance_is_its_administrators_and_everybody_is_known() {
    let world = World::new().await;
    for (who, line) in LIST {
        let people: &[Person] = match who {
            Who::Everybody => &[Person::Stranger, Person::Viewer, Person::Administrator],
            Who::Administrators => &[Person::Administrator],
            _ => continue,
        };
        for person in people {
            assert_allowed(&world, *person, line, "staging").await;
        }
    }
}

#[tokio::test]
async fn lists_show_what_one_has_a_role_in() {
    let world = World::new().await;
    let seen = async |person| world.ask(person, "GET", "/api/v1/projects").await.text;
    assert!(seen(Person::Viewer).await.contains("shop"));
    for person in [Person::Stranger, Person::Administrator, Person::Barred] {
        assert!(!seen(person).await.contains("shop"), "{person:?}");
    }
    assert!(seen(Person::Stranger).await.contains("other"));
}
