"""Values of each field of a sample: one line per field name. So the fields of one event fit together."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from streams.events.samples import properties
from streams.events.samples.world import Message, Person, World, bson_id, phone_number, uuid


@dataclass(slots=True)
class Moment:
    """The subject of one event. It belongs to `campaign` or to `canvas`; a required field may need both."""

    random: Random
    world: World
    person: Person
    campaign: Message
    canvas: Message
    time_s: int
    event_name: str


Maker = Callable[[Moment], Any]


def any_of(*values: Any) -> Maker:
    """One of these values."""
    return lambda moment: moment.random.choice(values)


def whole(lowest: int, highest: int) -> Maker:
    """A whole number from the first to the second, both included."""
    return lambda moment: moment.random.randint(lowest, highest)


def chance(share: float) -> Maker:
    """True in this share of events."""
    return lambda moment: moment.random.random() < share


def number(lowest: float, highest: float, digits: int) -> Maker:
    """A number that fits into 32 bits exactly, so that the same number is read back."""
    return lambda moment: float32(round(moment.random.uniform(lowest, highest), digits))


def float32(value: float) -> float:
    """The nearest number of Avro's type `float`."""
    nearest: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return nearest


def new_uuid(moment: Moment) -> str:
    return uuid(moment.random)


def new_bson_id(moment: Moment) -> str:
    return bson_id(moment.random)


def new_phone_number(moment: Moment) -> str:
    return phone_number(moment.random)


def token(moment: Moment) -> str:
    return f"{moment.random.getrandbits(256):064x}"


def short_url(moment: Moment) -> str:
    return f"https://l.example.com/{moment.random.getrandbits(32):07x}"


def ip_address(moment: Moment) -> str:
    return f"{moment.random.choice(('192.0.2', '198.51.100', '203.0.113'))}.{moment.random.randint(1, 254)}"


def bot_click_reasons(moment: Moment) -> list[str]:
    return moment.random.sample(("user_agent", "ip_address", "click_speed"), moment.random.randrange(3))


def media_urls(moment: Moment) -> list[str | None]:
    return [f"https://media.example.org/{moment.random.getrandbits(32):08x}.jpg", None][: moment.random.randint(0, 2)]


def ago(seconds_max: int) -> Maker:
    """A time before the event's, in UNIX seconds."""
    return lambda moment: moment.time_s - moment.random.randint(60, seconds_max)


AD_ID_TYPES = {"ios": "ios_idfa", "tvos": "ios_idfa", "roku": "roku_ad_id", "web": "windows_ad_id"}

FIELDS: Mapping[str, Maker] = {
    # the event and the person
    "id": new_uuid,
    "time": lambda moment: moment.time_s,
    "time_ms": lambda moment: moment.time_s * 1000 + moment.random.randrange(1000),
    "user_id": lambda moment: moment.person.user_id,
    "external_user_id": lambda moment: moment.person.external_user_id,
    "orphaned_by_id": new_bson_id,
    "first_name": lambda moment: moment.person.first_name,
    "last_name": lambda moment: moment.person.last_name,
    "email_address": lambda moment: moment.person.email_address,
    "phone_number": lambda moment: moment.person.phone_number,
    "to_phone_number": lambda moment: moment.person.phone_number,
    "user_phone_number": lambda moment: moment.person.phone_number,
    "channel_identifier": lambda moment: moment.person.email_address,
    "native_line_id": lambda moment: f"U{moment.person.user_id}00000000",
    "bsuid": lambda moment: f"US.{moment.person.user_id}",
    "dob": lambda moment: moment.person.born_on,
    "gender": lambda moment: moment.person.gender,
    "home_city": lambda moment: moment.person.city,
    "timezone": lambda moment: moment.person.timezone,
    "country": lambda moment: moment.person.country,
    "language": lambda moment: moment.person.language,
    "random_bucket_number": whole(0, 9999),
    "prev_random_bucket_number": whole(0, 9999),
    "custom_attributes": lambda moment: properties.custom_attributes(moment.random),
    "update_source": any_of("sdk", "rest_api", "dashboard"),
    "archived": chance(0.02),
    # the device
    "platform": lambda moment: moment.person.platform,
    "device_id": lambda moment: moment.person.device_id,
    "device_model": lambda moment: moment.person.device_model,
    "os_version": lambda moment: moment.person.os_version,
    "resolution": lambda moment: moment.person.resolution,
    "carrier": lambda moment: moment.person.carrier,
    "ad_id": lambda moment: moment.person.advertising_id,
    "ad_id_type": lambda moment: AD_ID_TYPES.get(moment.person.platform, "google_ad_id"),
    "ad_tracking_enabled": chance(0.4),
    "sdk_version": any_of("9.2.0", "10.1.0", "31.0.0"),
    "browser": any_of("Chrome", "Safari", "Firefox"),
    "user_agent": any_of("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X)", "Mozilla/5.0 (X11; Linux x86_64)"),
    "device_class": any_of("mobile", "desktop", "tablet"),
    "device_os": any_of("iOS", "Android", "Windows", "macOS"),
    # the app, the workspace and what the event belongs to
    "app_id": lambda moment: moment.person.app_id,
    "app_group_id": lambda moment: moment.world.app_group_id,
    "app_group_api_id": lambda moment: moment.world.app_group_id,
    "campaign_id": lambda moment: moment.campaign.id,
    "campaign_name": lambda moment: moment.campaign.name,
    "message_variation_id": lambda moment: moment.campaign.variation_id,
    "message_variation_name": lambda moment: moment.campaign.variation_name,
    "canvas_id": lambda moment: moment.canvas.id,
    "canvas_api_id": lambda moment: moment.canvas.id,
    "canvas_name": lambda moment: moment.canvas.name,
    "canvas_variation_id": lambda moment: moment.canvas.variation_id,
    "canvas_variation_api_id": lambda moment: moment.canvas.variation_id,
    "canvas_variation_name": lambda moment: moment.canvas.variation_name,
    "canvas_step_id": lambda moment: moment.canvas.step_id,
    "canvas_step_api_id": lambda moment: moment.canvas.step_id,
    "canvas_step_name": lambda moment: moment.canvas.step_name,
    "canvas_step_message_variation_id": lambda moment: moment.canvas.step_message_variation_id,
    "canvas_entry_id": new_uuid,
    "is_canvas_entry": chance(0.3),
    "in_control_group": chance(0.1),
    "next_step_id": new_uuid,
    "progression_type": any_of("next_step", "exit"),
    "exit_reason": any_of("matched_audience", "performed_exit_event"),
    "experiment_step_id": lambda moment: moment.canvas.step_id,
    "experiment_split_id": lambda moment: moment.canvas.variation_id,
    "experiment_split_name": any_of("Path 1", "Path 2", "Contrôle"),
    "content_optimizer_step_id": new_bson_id,
    "combination_token": any_of("subject:2|body:1", "subject:1|body:3"),
    "conversion_behavior": any_of('{"type":"Starts Session","window":86400}', '{"type":"Makes Purchase"}'),
    "conversion_behavior_index": whole(0, 3),
    "dispatch_id": new_bson_id,
    "send_id": any_of("spring-2026-wave-1", "send-0042", "téléphone-été"),
    "subscription_group_id": lambda moment: moment.random.choice(moment.world.subscription_groups),
    "subscription_status": any_of("Subscribed", "Unsubscribed", "Opted In"),
    "state_change_source": any_of("REST API", "SDK", "Dashboard", "Preference Center"),
    "channel": any_of("email", "ios_push", "android_push", "sms"),
    "message_extras": lambda moment: properties.message_extras(moment.random),
    "locale_key": any_of("en-gb", "de-de", "fr-ca"),
    "abort_type": any_of("liquid_abort_message", "quiet_hours", "rate_limit"),
    "abort_log": any_of("no product in stock", "la variable {{nom}} est vide", "quiet hours of the user"),
    "retry_type": any_of("provider_error", "timeout"),
    "retry_log": any_of("provider answered 503", "no answer within 30 s"),
    # what customers do
    "name": lambda moment: moment.event_name,
    "properties": lambda moment: properties.custom_event_properties(moment.event_name, moment.random),
    "product_id": any_of(*properties.PRODUCTS),
    "price": number(0.5, 300, 2),
    "currency": any_of("EUR", "USD", "GBP", "PLN", "JPY"),
    "session_id": new_uuid,
    "source": any_of("Search ads", "Referral", "Plakat Zürich HB"),
    "latitude": number(-60, 70, 4),
    "longitude": number(-180, 180, 4),
    "altitude": number(0, 900, 1),
    "ll_accuracy": number(1, 60, 1),
    "alt_accuracy": number(1, 20, 1),
    # push and Live Activities
    "push_token": token,
    "push_to_start_token": token,
    "update_token": token,
    "push_token_created_at": ago(30_000_000),
    "push_token_updated_at": ago(3_000_000),
    "push_token_device_id": lambda moment: moment.person.device_id,
    "push_token_foreground_push_disabled": chance(0.2),
    "push_token_provisionally_opted_in": chance(0.1),
    "push_token_state_change_type": any_of("add", "update", "remove"),
    "ios_push_token_apns_gateway": any_of(1, 2),
    "web_push_token_public_key": token,
    "web_push_token_user_auth": token,
    "web_push_token_vapid_public_key": token,
    "button_action_type": any_of("uri", "deep_link", "none", "close"),
    "button_string": any_of("accept", "später", "decline"),
    "activity_id": new_uuid,
    "activity_attributes_type": any_of("OrderAttributes", "MatchAttributes"),
    "live_activity_event_type": any_of("start", "update", "end"),
    "live_activity_event_outcome": any_of("success", "failure"),
    # in-app messages, cards and banners
    "card_id": new_uuid,
    "content_card_id": new_bson_id,
    "button_id": any_of("0", "1", "close"),
    "version": any_of("triggered", "legacy"),
    "banner_placement_id": any_of("home_top", "checkout_below", "compte_haut"),
    "feature_flag_id_name": any_of("new_checkout", "dark_mode"),
    # e-mail
    "esp": any_of("SparkPost", "SendGrid", "Amazon SES"),
    "from_domain": any_of("mail.example.com", "news.example.org"),
    "recipient_domain": lambda moment: moment.person.email_address.partition("@")[2],
    "ip_pool": any_of("transactional", "newsletter"),
    "sending_ip": ip_address,
    "mailbox_provider": any_of("Gmail", "Outlook", "Yahoo"),
    "machine_open": any_of("true"),
    "is_amp": chance(0.05),
    "is_drop": chance(0.1),
    "bounce_reason": any_of("550 5.1.1 mailbox does not exist", "552 5.2.2 Postfach voll"),
    "deferral_reason": any_of(
        "421 4.7.0 try again later",
    ),
    "attempt_count": whole(1, 9),
    "link_id": new_uuid,
    "link_alias": any_of("hero", "footer_shop", "bouton_principal"),
    "url": any_of("https://example.com/shop?ref=mail", "https://example.org/été/nouveautés", "https://example.com/"),
    "short_url": short_url,
    "is_suspected_bot_click": chance(0.05),
    "suspected_bot_click_reason": bot_click_reasons,
    # SMS, RCS, WhatsApp, LINE
    "from_phone_number": new_phone_number,
    "inbound_phone_number": new_phone_number,
    "from_rcs_sender": any_of("example_shop_agent", "example_care_agent"),
    "to_rcs_sender": any_of("example_shop_agent", "example_care_agent"),
    "category": any_of("opt-in", "opt-out", "help", "größen"),
    "is_sms_fallback": chance(0.2),
    "element_label": any_of("Ja, gern", "Show me", "Plus tard"),
    "element_type": any_of("Suggestion", "Button"),
    "interaction_type": any_of("Text URL", "Reply", "OpenURL"),
    "message_body": any_of("STOP", "Ja, danke!", "where is my order?", "ありがとう 🙏"),
    "action": any_of("Subscribed", "Unsubscribed", "None"),
    "media_urls": media_urls,
    "media_id": any_of("451203947582031", "451203947582032"),
    "error": any_of("unknown destination handset", "carrier violation", "message expired"),
    "provider_error_code": any_of("30003", "30007", "131026"),
    "provider_error_title": any_of("Message undeliverable", "Re-engagement message"),
    "message_id": lambda moment: f"wamid.{moment.random.getrandbits(128):032X}",
    "in_reply_to": lambda moment: f"wamid.{moment.random.getrandbits(128):032X}",
    "template_name": any_of("order_update", "bestellung_versandt"),
    "quick_reply_text": any_of("Yes", "Nein", "Plus tard"),
    "flow_id": any_of("104857201", "104857202"),
    "flow_response_json": any_of('{"size":"M","colour":"grün"}', '{"rating":5}'),
    "catalog_id": any_of("catalogue-1", "catalogue-2"),
    "line_channel_id": any_of("2000000001", "2000000002"),
    "line_channel_name": any_of("Example Shop", "サンプル店"),
    # webhooks
    "host": any_of("hooks.example.com", "api.example.org"),
    "endpoint_url": any_of("https://hooks.example.com/braze", "https://api.example.org/v1/events"),
    "url_path": any_of("/braze", "/v1/events"),
    "http_status_code": any_of(400, 404, 429, 500, 503),
    "content_length": whole(0, 4_000),
    "raw_response": any_of('{"error":"not found"}', "<html>Dienst nicht verfügbar</html>"),
    "retry_count": whole(0, 5),
    "is_terminal": chance(0.5),
    "webhook_duration": whole(20, 30_000),
    "webhook_failure_source": any_of("External Endpoint", "Treat no status code to host unreachable"),
    # Agent Console
    "invocation_id": new_uuid,
    "request_id": new_uuid,
    "provider_request_id": lambda moment: f"req_{moment.random.getrandbits(96):024x}",
    "tool_call_id": lambda moment: f"call_{moment.random.getrandbits(96):024x}",
    "agent_id": new_bson_id,
    "agent_name": any_of("Subject lines", "Antwort-Entwurf"),
    "tool_name": any_of("catalogue_search", "user_lookup"),
    "tool_arguments": any_of('{"query":"tea"}', '{"query":"Größe 42","limit":5}'),
    "invocation_source": any_of("canvas_step", "catalogue_field"),
    "model_name": any_of("small-1", "large-2"),
    "model_provider": any_of("provider-a", "provider-b"),
    "llm_owned_by_customer": chance(0.5),
    "cache_hit": chance(0.3),
    "is_error": chance(0.05),
    "prompt_tokens": whole(50, 4_000),
    "completion_tokens": whole(10, 800),
    "reasoning_tokens": whole(0, 500),
    "cache_tokens": whole(0, 1_000),
    "total_tokens": whole(60, 6_300),
    "input": any_of("Write a subject line for the spring sale.", "Fasse die Bewertung zusammen."),
    "output": any_of("Spring is here 🌷", "Passt gut, kommt schnell."),
}

BY_EVENT_TYPE: Mapping[tuple[str, str], Maker] = {
    ("users.behaviors.Purchase", "properties"): lambda moment: properties.purchase_properties(moment.random),
    ("users.behaviors.app.SessionEnd", "duration"): number(1, 1_800, 1),
    ("agentconsole.AgentExecuted", "duration"): whole(200, 20_000),
    ("agentconsole.ToolInvocation", "duration"): whole(5, 3_000),
}
"""Fields whose content depends on the event type."""
