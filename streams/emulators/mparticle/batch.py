"""The shape of a batch of the Events API: its fields, and what each may hold.

Written from mParticle's JSON reference; a test compares it with mParticle's own schema. Where that schema has no
rule (a string in the place of an object), this is stricter.
"""

from __future__ import annotations

from streams.emulators.mparticle.shapes import (
    MISSING,
    Check,
    Wrong,
    address,
    array,
    boolean,
    choice,
    fields,
    integer,
    mapping,
    nullable,
    number,
    record,
    scalar,
    text,
    uuid,
)

_SCALARS = array(scalar)
_FLAGS = {"custom_flags": nullable(mapping(scalar))}
_CONTENT = "navigation location search transaction user_content user_preference social other media"


def _attribute(value: object) -> Wrong | None:
    return _SCALARS(value) if isinstance(value, list) else scalar(value)


_PLACE = record(
    fields(number, "latitude longitude accuracy")
    | fields(integer, "dma_code")
    | fields(scalar, "country_code region_code postal_code location_source city_name"),
    "latitude longitude",
)
_DEVICE_STATE = record(
    fields(integer, "time_since_start_ms total_system_memory_usage_bytes")
    | fields(integer, "disk_space_free_bytes external_disk_space_free_bytes")
    | fields(number, "battery_level system_memory_available_bytes system_memory_threshold_bytes")
    | fields(number, "application_memory_available_bytes application_memory_max_bytes application_memory_total_bytes")
    | fields(boolean, "gps_state system_memory_low")
    | fields(scalar, "data_connection_type data_connection_type_detail cpu device_orientation status_bar_orientation")
)
_EVENT: dict[str, Check] = {
    **fields(integer, "timestamp_unixtime_ms event_id session_id session_start_unixtime_ms event_start_unixtime_ms"),
    **fields(integer, "event_num"),
    **fields(scalar, "lifetime_value_attribute_name data_connection_type view_controller canonical_name"),
    **fields(boolean, "is_goal_defined is_main_thread"),
    "lifetime_value_change": number,
    "source_message_id": text,
    "session_uuid": uuid,
    "custom_attributes": nullable(mapping(scalar)),
    "location": nullable(_PLACE),
    "device_current_state": nullable(_DEVICE_STATE),
    "event_system_notification_info": nullable(record({"type": choice("gdpr_change")}, "type", is_open=True)),
}

_PRODUCT = record(
    fields(text, "id name")
    | fields(scalar, "brand category variant coupon_code")
    | fields(integer, "position added_to_cart_time_ms")
    | fields(number, "price quantity total_product_amount")
    | {"custom_attributes": nullable(mapping(text))},
    is_open=True,
)
_PRODUCTS = array(nullable(_PRODUCT))
_PRODUCT_ACTION = record(
    {
        "action": choice(
            "add_to_cart remove_from_cart checkout checkout_option click view_detail purchase refund add_to_wishlist"
            " remove_from_wish_list"
        ),
        "checkout_step": integer,
        "transaction_id": text,
        "products": nullable(_PRODUCTS),
    }
    | fields(scalar, "checkout_options product_action_list product_list_source affiliation coupon_code")
    | fields(number, "total_amount tax_amount shipping_amount"),
    "action",
)
_PROMOTION = record(fields(text, "id name") | fields(scalar, "creative position"))
_PROMOTION_ACTION = record(
    {"action": choice("view click"), "promotions": array(nullable(_PROMOTION))},
    "action",
)
_IMPRESSION = record(
    {"product_impression_list": text, "products": nullable(_PRODUCTS)}, "product_impression_list products"
)
_IDENTITY_TYPES = (
    "other customer_id facebook twitter google microsoft yahoo email alias facebook_custom_audience_id other_id_2"
    " other_id_3 other_id_4 other_id_5 other_id_6 other_id_7 other_id_8 other_id_9 other_id_10 mobile_number"
    " phone_number_2 phone_number_3"
)
_IDENTITY = record(
    {
        "identity_type": choice(_IDENTITY_TYPES),
        "identity": scalar,
        "timestamp_unixtime_ms": integer,
        "created_this_batch": boolean,
    },
    "identity_type identity timestamp_unixtime_ms",
)


def _data(own: dict[str, Check], required: str = "") -> Check:
    """An event's `data`: the fields of all events, and its own. Other fields are accepted."""
    return record(_EVENT | own, required, is_open=True)


_BREADCRUMB = _data(fields(integer, "session_number") | fields(text, "label"), "label")
_CLOSED = frozenset({"custom_event", "application_state_transition", "breadcrumb", "commerce_event", "first_run"})
"""Events that have only `event_type` and `data`."""
_DATA: dict[str, Check] = {
    "session_start": _data({}),
    "session_end": _data({"session_duration_ms": integer}, "session_duration_ms"),
    "screen_view": _data({"screen_name": text, "activity_type": scalar, **_FLAGS}, "screen_name"),
    "custom_event": _data(
        {"event_name": text, "custom_event_type": choice(_CONTENT), **_FLAGS}, "event_name custom_event_type"
    ),
    "crash_report": _data(
        fields(scalar, "class_name severity message stack_trace topmost_context pl_crash_report_file_base64")
        | fields(integer, "ios_image_base_address ios_image_size session_number")
        | {
            "exception_handled": boolean,
            "breadcrumbs": nullable(
                array(record({"event_type": choice("breadcrumb"), "data": _BREADCRUMB}, "event_type data"))
            ),
        },
        "severity message",
    ),
    "opt_out": _data({"is_opted_out": boolean}, "is_opted_out"),
    "first_run": _data({}),
    "push_registration": _data({"register": boolean, "registration_token": text}, "register registration_token"),
    "application_state_transition": _data(
        fields(boolean, "successfully_closed is_first_run is_upgrade")
        | fields(scalar, "push_notification_payload launch_referral")
        | {
            "application_transition_type": choice(
                "application_initialized application_exit application_background application_foreground"
            )
        },
        "application_transition_type",
    ),
    "push_message": _data(
        fields(scalar, "push_message_token message network push_notification_payload application_state")
        | fields(scalar, "action_identifier push_message_behavior")
        | {"push_message_type": choice("sent received action")},
        "push_message_token push_message_type push_notification_payload",
    ),
    "network_performance": _data(
        fields(text, "http_verb url")
        | fields(integer, "time_elapsed bytes_in bytes_out response_code")
        | {"data": scalar},
        "url response_code",
    ),
    "breadcrumb": _BREADCRUMB,
    "profile": _data(
        fields(integer, "previous_mpid current_mpid")
        | {"profile_event_type": choice("signup login logout update delete")},
        "previous_mpid current_mpid profile_event_type",
    ),
    "commerce_event": _data(
        {
            "product_action": nullable(_PRODUCT_ACTION),
            "promotion_action": nullable(_PROMOTION_ACTION),
            "product_impressions": nullable(array(nullable(_IMPRESSION))),
            "shopping_cart": nullable(record({"products": _PRODUCTS}, "products")),
            "currency_code": scalar,
            "is_non_interactive": boolean,
            "custom_event_type": choice(
                f"{_CONTENT} add_to_cart remove_from_cart checkout checkout_option click view_detail purchase refund"
                " promotion_view promotion_click add_to_wishlist remove_from_wishlist impression attribution"
                " consent_granted consent_denied"
            ),
            **fields(text, "screen_name event_name"),
            **_FLAGS,
        }
    ),
    "user_attribute_change": _data(
        {"user_attribute_name": text} | fields(_attribute, "new old") | fields(boolean, "deleted is_new_attribute"),
        "user_attribute_name",
    ),
    "user_identity_change": _data(fields(nullable(_IDENTITY), "new old"), "new old"),
    "uninstall": _data({}),
}
_UNKNOWN_TYPE = Wrong(".event_type", f"must be one of {', '.join(sorted(_DATA))}")


def _event(value: object) -> Wrong | None:
    if not isinstance(value, dict):
        return Wrong("", "must be an object")
    event_type = value.get("event_type")
    if event_type is None or event_type == "":
        return Wrong(".event_type", MISSING)
    check = _DATA.get(event_type) if isinstance(event_type, str) else None
    if check is None:
        return _UNKNOWN_TYPE
    if "data" not in value:
        return Wrong(".data", MISSING)
    if event_type in _CLOSED and len(value) > 2:
        unknown = next(name for name in value if name not in ("event_type", "data"))
        return Wrong(f".{unknown}", "is not a known field")
    wrong = check(value["data"])
    return None if wrong is None else wrong.within(".data")


_DEVICE = record(
    fields(scalar, "brand product device android_uuid device_manufacturer os_version device_model device_country")
    | fields(scalar, "locale_language locale_country network_country network_carrier network_code")
    | fields(scalar, "network_mobile_country_code build_identifier http_header_user_agent push_token cpu_architecture")
    | fields(scalar, "radio_access_technology bluetooth_version build_version_release amp_id")
    | fields(scalar, "microsoft_advertising_id microsoft_publisher_id")
    | fields(integer, "screen_height screen_width screen_dpi timezone_offset att_timestamp_unixtime_ms")
    | fields(boolean, "is_tablet push_notification_sound_enabled push_notification_vibrate_enabled supports_telephony")
    | fields(boolean, "has_nfc bluetooth_enabled limit_ad_tracking is_dst")
    | fields(uuid, "ios_advertising_id ios_idfv android_advertising_id roku_advertising_id roku_publisher_id")
    | fields(uuid, "fire_advertising_id")
    | {
        "platform": choice("iOS Android web tvOS roku out_of_band alexa smart_tv fire_tv xbox"),
        "att_authorization_status": choice("authorized denied not_determined restricted"),
    }
)
_APPLICATION = record(
    fields(scalar, "application_name application_version application_build_number install_referrer package os")
    | {"apple_search_ads_attributes": nullable(mapping(mapping(scalar)))}
)
_CONSENT = nullable(
    record(
        fields(scalar, "regulation document location hardware_id")
        | {"consented": boolean, "timestamp_unixtime_ms": integer},
        "consented timestamp_unixtime_ms",
    )
)
_PLAN = record({"plan_id": text, "plan_version": integer}, "plan_id")
_SOURCE = record(
    {
        "channel": choice("native javascript pixel desktop partner server_to_server"),
        "is_historical": boolean,
        **fields(scalar, "partner replay_request_id replay_job_id"),
    },
    "channel",
)

_BATCH = record(
    {
        **fields(scalar, "source_request_id api_key partner_identity sdk_version job_id"),
        **fields(integer, "timestamp_unixtime_ms batch_id mpid origin_mpid"),
        **fields(nullable(array(text)), "deleted_user_attributes api_keys"),
        "events": nullable(array(_event)),
        "device_info": nullable(_DEVICE),
        "application_info": nullable(_APPLICATION),
        "user_attributes": nullable(mapping(_attribute)),
        "user_identities": nullable(record(fields(scalar, _IDENTITY_TYPES))),
        "environment": choice("production development"),
        "ip": address,
        "integration_attributes": nullable(mapping(mapping(scalar))),
        "partner_identities": nullable(mapping(scalar)),
        "context": nullable(record({"data_plan": nullable(_PLAN), "location": nullable(_PLACE)}, is_open=True)),
        "source_info": nullable(_SOURCE),
        "mp_deviceid": uuid,
        "attribution_info": nullable(
            record(fields(scalar, "service_provider publisher campaign"), "service_provider publisher campaign")
        ),
        "consent_state": nullable(record(fields(mapping(_CONSENT), "gdpr ccpa"))),
    }
)


def wrong_with(batch: object) -> Wrong | None:
    """The first thing that is wrong with a normalised batch, or None."""
    return _BATCH(batch)


def normalised(batch: object) -> object:
    """The batch with two spellings replaced. mParticle accepts them although its schema does not have them: Braze and
    two of mParticle's own SDKs send `customerid`, Braze sends `schema_version`."""
    if not isinstance(batch, dict):
        return batch
    identities = batch.get("user_identities")
    if isinstance(identities, dict) and "customerid" in identities:
        renamed = {name: value for name, value in identities.items() if name != "customerid"}
        batch = batch | {"user_identities": {"customer_id": identities["customerid"]} | renamed}
    return {name: value for name, value in batch.items() if name != "schema_version"}
