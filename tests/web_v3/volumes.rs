//! Volumes, their lists and their metadata, as clients use them: the whole service, a fake backend, real HTTP.

use crate::api::{House, OTHER_PROJECT, PROJECT};
use serde_json::{Value, json};

fn ids(list: &Value) -> Vec<&str> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|item| item["id"].as_str().unwrap())
        .collect()
}

#[actix_web::test]
async fn a_volume_lives_from_its_create_to_its_delete() {
    let house = House::build().await;
    let made = house
        .post(
            "/volumes",
            json!({"volume": {"size": "1", "name": " v1 ", "description": null}}),
        )
        .send()
        .await;
    assert_eq!(made.status, 202);
    let volume = &made.json()["volume"];
    assert_eq!(
        (&volume["status"], &volume["name"], &volume["size"]),
        (&json!("creating"), &json!("v1"), &json!(1))
    );
    let id = volume["id"].as_str().unwrap();
    house.until_status(id, "available").await;

    let shown = house.get(&format!("/volumes/{id}")).send().await.json();
    assert_eq!(shown["volume"]["os-vol-host-attr:host"], "h@lvm#lvm");
    assert!(shown["volume"]["updated_at"].is_string());

    let changed = house
        .put(
            &format!("/volumes/{id}"),
            json!({"volume": {"name": "v2", "metadata": {"a": "b"}}}),
        )
        .version("")
        .send()
        .await;
    assert_eq!(
        (changed.status, &changed.json()["volume"]["name"]),
        (200, &json!("v2"))
    );

    let action = format!("/volumes/{id}/action");
    let over = house
        .post(&action, json!({"os-extend": {"new_size": 5000}}))
        .send()
        .await;
    assert_eq!((over.status, over.header("retry-after")), (413, Some("0")));
    assert_eq!(
        over.json()["overLimit"]["message"],
        "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. Requested \
         4999G, quota is 1000G and 1G has been consumed."
    );
    let grown = house
        .post(&action, json!({"os-extend": {"new_size": 3}}))
        .send()
        .await;
    assert_eq!((grown.status, grown.text.as_str()), (202, ""));
    house
        .until("the volume to have grown", async || {
            let shown = house.get(&format!("/volumes/{id}")).send().await.json();
            (shown["volume"]["size"] == 3 && shown["volume"]["status"] == "available").then_some(())
        })
        .await;

    assert_eq!(
        house
            .post(&action, json!({"os-set_bootable": {"bootable": "yes"}}))
            .send()
            .await
            .status,
        200
    );
    assert_eq!(
        house
            .post(&action, json!({"os-update_readonly_flag": {"readonly": true}}))
            .send()
            .await
            .status,
        202
    );
    let set = house
        .post(
            &action,
            json!({"os-set_image_metadata": {"metadata": {"os": "linux"}}}),
        )
        .send()
        .await;
    assert_eq!(
        (set.status, set.json()),
        (200, json!({"metadata": {"os": "linux"}}))
    );
    let shown = house
        .get(&format!("/volumes/{id}"))
        .by("member", PROJECT)
        .send()
        .await
        .json()["volume"]
        .clone();
    assert_eq!(shown["bootable"], "true");
    assert_eq!(shown["metadata"], json!({"a": "b", "readonly": "True"}));
    assert_eq!(shown["volume_image_metadata"], json!({"os": "linux"}));
    assert!(shown.get("os-vol-host-attr:host").is_none() && shown.get("migration_status").is_none());

    let deleted = house
        .delete(&format!("/volumes/{id}?cascade=False&force=False"))
        .send()
        .await;
    assert_eq!((deleted.status, deleted.text.as_str()), (202, ""));
    house.until_gone(id).await;
    let gone = house.get(&format!("/volumes/{id}")).send().await;
    assert_eq!(
        gone.json(),
        json!({"itemNotFound": {"code": 404, "message": format!("Volume {id} could not be found.")}})
    );
    house.close().await;
}

#[actix_web::test]
async fn a_list_is_read_to_its_end_along_its_links() {
    let house = House::build().await;
    for size in [3, 1, 2, 1, 3] {
        let body = json!({"volume": {"size": size, "name": format!("size {size}")}});
        assert_eq!(
            house
                .post("/volumes", body)
                .by("member", PROJECT)
                .send()
                .await
                .status,
            202
        );
    }
    house
        .post("/volumes", json!({"volume": {"size": 9}}))
        .by("member", OTHER_PROJECT)
        .send()
        .await;
    for order in [
        "sort=size:asc",
        "sort_key=size&sort_dir=asc",
        "sort=name:asc,created_at:desc",
        "",
    ] {
        let whole = house.get(&format!("/volumes?{order}")).send().await.json();
        assert_eq!(whole["volumes"].as_array().unwrap().len(), 5, "{order}");
        assert!(whole.get("volumes_links").is_none());
        let mut found = Vec::new();
        let mut path = format!("/volumes/detail?limit=2&{order}");
        loop {
            let page = house.get(&path).send().await.json();
            found.extend(ids(&page["volumes"]).into_iter().map(str::to_owned));
            let Some(next) = page["volumes_links"][0]["href"].as_str() else {
                break;
            };
            path = next
                .strip_prefix(&format!("http://localhost/v3/{PROJECT}"))
                .unwrap()
                .to_owned();
            assert!(
                path.starts_with("/volumes/detail?limit=2&") && path.contains("marker="),
                "{path}"
            );
        }
        assert_eq!(found, ids(&whole["volumes"]), "{order}");
    }
    let counted = house
        .get("/volumes?with_count=true&limit=1&size=3")
        .send()
        .await
        .json();
    assert_eq!(
        (
            counted["count"].as_u64(),
            counted["volumes"].as_array().unwrap().len()
        ),
        (Some(2), 1)
    );
    let uncounted = house
        .get("/volumes?with_count=true&limit=1")
        .version("3.44")
        .send()
        .await
        .json();
    assert_eq!(
        uncounted["volumes"],
        json!([]),
        "before 3.45 it is a filter, and no volume has it"
    );
    assert_eq!(
        house.get("/volumes?limit=0").send().await.json(),
        json!({"volumes": []})
    );
    let everybody = house.get("/volumes?all_tenants=1").send().await.json();
    assert_eq!(everybody["volumes"].as_array().unwrap().len(), 6);
    let member = house
        .get("/volumes?all_tenants=1")
        .by("member", PROJECT)
        .send()
        .await
        .json();
    assert_eq!(member["volumes"].as_array().unwrap().len(), 5);
    let other = ids(&everybody["volumes"])[0].to_owned();
    let marker = house.get(&format!("/volumes?marker={other}")).send().await;
    assert_eq!(marker.status, 404, "another project's volume is no marker");
    let summary = house.get("/volumes/summary").version("3.36").send().await.json();
    assert_eq!(
        summary,
        json!({"volume-summary": {"total_count": 5, "total_size": 10, "metadata": {}}})
    );
    let summary = house
        .get("/volumes/summary?all_tenants=1")
        .version("3.12")
        .send()
        .await
        .json();
    assert_eq!(
        summary,
        json!({"volume-summary": {"total_count": 6, "total_size": 19}})
    );
    house.close().await;
}

#[actix_web::test]
async fn metadata_is_changed_only_as_the_client_has_seen_it() {
    let house = House::build_deaf().await;
    let made = house
        .post("/volumes", json!({"volume": {"size": 1, "metadata": {"a": "1"}}}))
        .send()
        .await
        .json();
    let path = format!("/volumes/{}/metadata", made["volume"]["id"].as_str().unwrap());
    let seen = house.get(&path).send().await;
    let tag = seen.header("etag").unwrap().to_owned();
    assert_eq!(house.get(&path).version("3.14").send().await.header("etag"), None);
    let merged = house.post(&path, json!({"metadata": {"b": "2"}})).send().await;
    assert_eq!(merged.json(), json!({"metadata": {"a": "1", "b": "2"}}));
    let put = |tag: &str| {
        house
            .put(&path, json!({"metadata": {"c": "3"}}))
            .header("If-Match", &format!("\"{tag}\""))
    };
    let late = put(&tag).send().await;
    assert_eq!((late.status, late.text.as_str()), (412, ""));
    assert_eq!(
        put(&tag).version("3.14").send().await.status,
        200,
        "before 3.15 it is ignored"
    );
    let tag = house.get(&path).send().await.header("etag").unwrap().to_owned();
    assert_eq!(put(&tag).send().await.status, 200);
    let one = house
        .put(&format!("{path}/c"), json!({"meta": {"c": "4"}}))
        .header("If-Match", &tag)
        .send()
        .await;
    assert_eq!(one.json(), json!({"meta": {"c": "4"}}));
    let other = house
        .put(&format!("{path}/c"), json!({"meta": {"d": "4"}}))
        .send()
        .await;
    assert_eq!(
        other.json()["badRequest"]["message"],
        "Request body and URI mismatch"
    );
    assert_eq!(
        house.get(&format!("{path}/c")).send().await.json(),
        json!({"meta": {"c": "4"}})
    );
    assert_eq!(house.delete(&format!("{path}/c")).send().await.status, 200);
    assert_eq!(house.delete(&format!("{path}/c")).send().await.status, 404);
    let blank = house
        .put(&format!("{path}/a%20b"), json!({"meta": {"a b": "x"}}))
        .send()
        .await;
    assert_eq!(blank.json(), json!({"meta": {"a b": "x"}}));
    house.close().await;
}
