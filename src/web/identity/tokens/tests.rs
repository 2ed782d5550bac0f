//! Which tokens are valid, and what ends them.

use std::sync::Arc;

use super::*;
use crate::store::memory::MemoryStore;
use crate::web::identity::directory::Configured;
use crate::web::identity::options::UserOptions;

const HOUR: Duration = Duration::from_secs(3600);

async fn tokens() -> Tokens {
    let catalog = Catalog::open(Arc::new(MemoryStore::default())).await.unwrap();
    Tokens::open(catalog, HOUR).await.unwrap().0
}

/// A directory with the user Ann, who has this password hash.
fn directory(tokens: &Tokens, password_hash: &str) -> Directory {
    let mut configured = Configured::default();
    let ann = UserOptions {
        name: "ann".to_owned(),
        password: None,
        password_hash: None,
        project: "red".to_owned(),
        roles: vec!["member".to_owned()],
    };
    configured.add(&ann, Secret::new(password_hash));
    Directory {
        configured,
        catalog: tokens.catalog.clone(),
        has_users: true,
    }
}

async fn token(tokens: &Tokens, directory: &Directory) -> (String, Claims) {
    let request = TokenRequest {
        user: directory.named::<User>("ann").await.unwrap().unwrap().record,
        project_id: None,
        by_password: true,
        credential: None,
        parent: None,
    };
    let (text, claims) = tokens.issue(request).await.unwrap();
    (text.reveal().to_owned(), claims)
}

async fn is_good(tokens: &Tokens, directory: &Directory, text: &str) -> bool {
    tokens
        .resolve(text, directory, Timestamp::now())
        .await
        .unwrap()
        .is_some()
}

#[actix_web::test]
async fn a_changed_password_ends_the_tokens_of_the_old_one() {
    let tokens = tokens().await;
    let (before, after) = (directory(&tokens, "old"), directory(&tokens, "new"));
    let (text, _) = token(&tokens, &before).await;
    assert!(is_good(&tokens, &before, &text).await);
    assert!(!is_good(&tokens, &after, &text).await);
    let (text, _) = token(&tokens, &after).await;
    assert!(is_good(&tokens, &after, &text).await);
}

#[actix_web::test]
async fn all_tokens_of_a_user_end_at_once_and_new_ones_are_good() {
    let tokens = tokens().await;
    let directory = directory(&tokens, "hash");
    let (old, claims) = token(&tokens, &directory).await;
    tokens.revoke_all(&claims.user_id).await.unwrap();
    assert!(!is_good(&tokens, &directory, &old).await);
    let (new, _) = token(&tokens, &directory).await;
    assert!(is_good(&tokens, &directory, &new).await);
    tokens.revoke_all(&claims.user_id).await.unwrap();
    assert!(!is_good(&tokens, &directory, &new).await);
    assert!(!is_good(&tokens, &directory, &old).await);
}

#[actix_web::test]
async fn a_flood_of_tokens_leaves_no_rows_and_one_of_revocations_a_bounded_number() {
    let tokens = tokens().await;
    let directory = directory(&tokens, "hash");
    let (kept, claims) = token(&tokens, &directory).await;
    let revoked = async || {
        let rows = tokens
            .catalog
            .revoked_tokens(&claims.user_id, 2000)
            .await
            .unwrap();
        rows.len()
    };
    for _ in 0..=REVOKED_OF_A_USER {
        let (text, claims) = token(&tokens, &directory).await;
        tokens.revoke(&claims).await.unwrap();
        assert!(!is_good(&tokens, &directory, &text).await);
        assert!(revoked().await <= REVOKED_OF_A_USER);
    }
    assert!(
        !is_good(&tokens, &directory, &kept).await,
        "all of the user's tokens are revoked beyond the bound"
    );
    let left = revoked().await;
    let swept = tokens.sweep(Timestamp::now().plus(2 * HOUR)).await.unwrap();
    assert_eq!((swept, revoked().await), (left, 0));
}

#[actix_web::test]
async fn keys_are_renewed_and_open_what_they_sealed_until_it_has_expired() {
    let tokens = tokens().await;
    let directory = directory(&tokens, "hash");
    let (text, _) = token(&tokens, &directory).await;
    let now = Timestamp::now();
    let numbers = async |at: Timestamp| {
        let keys = tokens.renew_keys(at).await.unwrap();
        keys.keys.iter().map(|key| key.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(now).await, [1]);
    let later = now.plus(KEY_LIFETIME);
    assert_eq!(numbers(later).await, [2, 1]);
    assert!(
        is_good(&tokens, &directory, &text).await,
        "sealed with the older key"
    );
    assert_eq!(numbers(later.plus(HOUR)).await, [2]);
    assert!(!is_good(&tokens, &directory, &text).await);
}
