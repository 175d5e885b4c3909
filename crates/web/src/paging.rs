//! Pages of lists: `?after=&limit=`.

use naru_model::api::Page;
use serde::Deserialize;

const USUAL: u32 = 50;
const MOST: u32 = 200;

/// Which page is asked for.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// The `next` of the page before; the first page without it.
    pub(crate) after: Option<String>,
    /// Items per page, 1 to 200; 50 without it.
    pub(crate) limit: Option<u32>,
}

impl Paging {
    /// Items on this page at most.
    pub(crate) fn limit(&self) -> u32 {
        self.limit.unwrap_or(USUAL).clamp(1, MOST)
    }

    /// `after` as a number; anything else is the first page.
    pub(crate) fn after_number<T: std::str::FromStr>(&self) -> Option<T> {
        self.after.as_deref().and_then(|after| after.parse().ok())
    }

    /// How many rows to ask for: one more than fits tells whether there is a next page.
    pub(crate) fn probe(&self) -> u32 {
        self.limit() + 1
    }

    /// A page from up to [`Paging::probe`] rows.
    pub(crate) fn page<T>(&self, mut items: Vec<T>, key: impl Fn(&T) -> String) -> Page<T> {
        let limit = self.limit() as usize;
        let next = if items.len() > limit { items.get(limit - 1).map(key) } else { None };
        items.truncate(limit);
        Page { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_where_the_next_begins() {
        let paging = Paging { after: None, limit: Some(2) };
        let page = paging.page(vec![1, 2, 3], ToString::to_string);
        assert_eq!((page.items, page.next.as_deref()), (vec![1, 2], Some("2")));
        assert_eq!(paging.page(vec![1, 2], ToString::to_string).next, None);
        assert_eq!(Paging { after: None, limit: Some(0) }.limit(), 1);
        assert_eq!(Paging { after: None, limit: Some(9_999_999) }.limit(), MOST);
    }
}
