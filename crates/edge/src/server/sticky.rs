//! A visitor's place, by which it stays with a revision while several share a route. What a place leads to is decided in
//! `routing`; here it is read from a request, and written for the visitor to keep.

use http::header::{self, HeaderMap, HeaderValue};
use naru_model::route::Sticky;

use super::routing::spread;

/// Places are numbered from 0 to one less than this.
const PLACES: u16 = 10_000;

/// A place among all visitors of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(u16);

impl Place {
    /// The place that a request names. What is not a place is as good as none.
    pub(super) fn of(sticky: &Sticky, headers: &HeaderMap) -> Option<Self> {
        match sticky {
            Sticky::Cookie => of_cookies(headers),
            Sticky::Header(name) => headers.get(name.as_str()).map(|value| of_bytes(value.as_bytes())),
        }
    }

    /// The place of the next visitor who has none.
    pub(super) fn drawn(turn: u32) -> Self {
        Self::at(spread(turn))
    }

    fn at(fraction: u32) -> Self {
        let place = (u64::from(fraction) * u64::from(PLACES)) >> 32;
        Self(u16::try_from(place).unwrap_or(0))
    }

    /// The place as a fraction of 2³².
    pub(super) fn fraction(self) -> u32 {
        u32::try_from((u64::from(self.0) << 32).div_ceil(u64::from(PLACES))).unwrap_or(0)
    }

    pub(super) fn cookie_pair(self) -> String {
        format!("{}={}", Sticky::COOKIE, self.0)
    }

    /// Tells the visitor its place, for as long as the browser is open.
    pub(super) fn tell(self, headers: &mut HeaderMap) {
        let text = format!("{}; Path=/; HttpOnly; SameSite=Lax", self.cookie_pair());
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.append(header::SET_COOKIE, value);
        }
    }
}

fn of_cookies(headers: &HeaderMap) -> Option<Place> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(Sticky::COOKIE)?.strip_prefix('=')?.parse().ok())
        .filter(|place| *place < PLACES)
        .map(Place)
}

/// FNV-1a with a last mixing step: the same value has the same place at every edge, today and after an upgrade.
fn of_bytes(bytes: &[u8]) -> Place {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    Place::at(u32::try_from(hash >> 32).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_a_place_is_read() {
        let of = |cookie: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::try_from(cookie).unwrap());
            Place::of(&Sticky::Cookie, &headers).map(|place| place.0)
        };
        assert_eq!(of("naru-place=0"), Some(0));
        assert_eq!(of("a=1;naru-place=9999 ; b=2"), Some(9_999));
        for no in
            ["naru-place=10000", "naru-place=-1", "naru-place=", "naru-place=7x", "naru-placement=7", "x"]
        {
            assert_eq!(of(no), None, "{no}");
        }
    }

    #[test]
    fn places_and_fractions_agree() {
        for place in (0..PLACES).map(Place) {
            assert_eq!(Place::at(place.fraction()), place);
        }
    }
}
