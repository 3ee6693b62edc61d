use super::*;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn token() -> Guard {
    Guard::new(address("0.0.0.0:1"), Some(SecretString::from("s:cret".to_owned()))).unwrap()
}

#[test]
fn other_machines_look_with_a_token_or_not_at_all() {
    assert!(matches!(Guard::new(address("127.0.0.1:1"), None), Ok(Guard::ThisMachine)));
    assert!(matches!(Guard::new(address("[::1]:1"), None), Ok(Guard::ThisMachine)));
    assert!(Guard::new(address("0.0.0.0:1"), None).unwrap_err().to_string().contains("--token"));
    let empty = Some(SecretString::default());
    assert!(Guard::new(address("127.0.0.1:1"), empty).is_err(), "an empty token would let everyone in");
}

#[test]
fn a_page_from_elsewhere_that_names_itself_as_this_machine_is_not_let_in() {
    for own in ["localhost", "LOCALHOST:8090", "127.0.0.1:8090", "127.9.9.9", "[::1]:8090", "[::1]"] {
        assert_eq!(Guard::ThisMachine.admits(Some(own), None), Ok(()), "{own}");
    }
    for other in ["evil.example", "evil.example:8090", "localhost.evil.example", "10.0.0.1:8090", "", ":8090"]
    {
        assert_eq!(Guard::ThisMachine.admits(Some(other), None), Err(Refused::OtherName), "{other}");
    }
    assert_eq!(Guard::ThisMachine.admits(None, None), Err(Refused::OtherName));
}

#[test]
fn only_the_whole_token_lets_in_whoever_gives_it() {
    let basic = |both: &str| format!("Basic {}", STANDARD.encode(both));
    for good in [basic("anyone:s:cret"), basic(":s:cret"), basic("anyone:s:cret").replace("Basic", "basic")] {
        assert_eq!(token().admits(Some("x"), Some(&good)), Ok(()), "{good}");
    }
    for bad in [
        basic("anyone:s:cre"),
        basic("anyone:s:cret "),
        basic("s:cret"),
        basic("nocolon"),
        basic("anyone:"),
        "Bearer s:cret".to_owned(),
        "Basic !".to_owned(),
        "Basic".to_owned(),
        String::new(),
    ] {
        assert_eq!(token().admits(Some("localhost"), Some(&bad)), Err(Refused::NoToken), "{bad}");
    }
    assert_eq!(token().admits(Some("localhost"), None), Err(Refused::NoToken));
}
