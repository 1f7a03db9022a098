"""Which Currents events Mixpanel gets, under which names, with which properties.

A line is: event type | Mixpanel's event name | `default` where Braze lists it for its own connector to Mixpanel, so
that a connector without `events` selects it | Avro fields. Capitals stand for `table.GROUPS`; `field>name` is sent
under another name; a field that a writer's schema lacks is left out. Names marked inferred are in no document: they
follow from their neighbours.

Names: as in Braze's pages on Mixpanel, but "SMS Send to Carrier" as Mixpanel spells it among the events that do not
count as monthly tracked users. Device model and version go as `device_model` and `os_version`, for `$os` is no version.
"""

from __future__ import annotations

from streams.destinations.table import MappedEvent, parse

EVENTS: dict[str, MappedEvent] = parse(
    """
users.behaviors.CustomEvent | [Braze Custom Event] <name> | default | DEVICE ADS app_group_id app_id device_id
users.behaviors.InstallAttribution | Install Attribution | default | app_group_id device_id source
users.behaviors.Location | Location | default | DEVICE ADS alt_accuracy altitude app_group_id app_id device_id
    latitude ll_accuracy longitude
users.behaviors.Purchase | Purchase | default | DEVICE ADS app_group_id app_id currency device_id price product_id
    product_id>productId
users.behaviors.Uninstall | Uninstall | default | app_group_id app_id device_id
users.behaviors.app.FirstSession | First Session | default | DEVICE app_group_id app_id device_id session_id
users.behaviors.app.SessionEnd | Session End | default | DEVICE app_group_id app_id device_id duration session_id
users.behaviors.app.SessionStart | Session Start | default | DEVICE app_group_id app_id device_id session_id
users.behaviors.liveactivity.PushToStartTokenChange | Live Activity Push To Start Token Change | - |
    activity_attributes_type app_group_id app_id device_id ios_push_token_apns_gateway push_to_start_token
    push_token_state_change_type
users.behaviors.liveactivity.UpdateTokenChange | Live Activity Update Token Change | - | activity_id app_group_id
    app_id device_id ios_push_token_apns_gateway push_token_state_change_type update_token
users.behaviors.pushnotification.TokenStateChange | Push Notification Token State Change | - | app_group_id app_id
    ios_push_token_apns_gateway platform push_token push_token_created_at push_token_device_id
    push_token_foreground_push_disabled push_token_provisionally_opted_in push_token_state_change_type
    push_token_updated_at time_ms web_push_token_public_key web_push_token_user_auth web_push_token_vapid_public_key
users.behaviors.subscription.GlobalStateChange | Global Subscription State Change | - | MESSAGE app_id channel
    channel_identifier email_address send_id state_change_source subscription_status
users.behaviors.subscriptiongroup.StateChange | Subscription Group State Change | default | MESSAGE SENDING app_id
    channel channel_identifier email_address state_change_source subscription_group_id subscription_status
users.campaigns.Conversion | Campaign Conversion Event | default | CAMPAIGN SENDING app_group_id app_id
    conversion_behavior conversion_behavior_index
users.campaigns.EnrollInControl | Campaign Control Group Enrollment | default | CAMPAIGN SENDING app_group_id app_id
users.canvas.Conversion | Canvas Conversion Event | default | CANVAS app_group_id app_id conversion_behavior
    conversion_behavior_index device_id
users.canvas.Entry | Canvas Entry | default | CANVAS app_group_id device_id in_control_group
users.canvas.costep.Send | Canvas Content Optimizer Step Send | - | app_group_id canvas_variation_id channel
    combination_token content_optimizer_step_id dispatch_id user_id
users.canvas.exit.MatchedAudience | Exit Match Audience | - | CANVAS app_group_id
users.canvas.exit.PerformedEvent | Exit Perform Event | - | CANVAS app_group_id
users.canvas.experimentstep.Conversion | Experiment Step Conversion | - | CANVAS app_id conversion_behavior
    conversion_behavior_index experiment_split_id experiment_split_name experiment_step_id
users.canvas.experimentstep.SplitEntry | Experiment Split Entry | - | CANVAS experiment_split_id experiment_split_name
    experiment_step_id in_control_group
users.canvasstep.Progression | Canvas Step Progression | - | CANVAS app_group_id canvas_entry_id device_id exit_reason
    is_canvas_entry next_step_id progression_type
users.messages.banner.Abort | Banner Abort | - | MESSAGE DEVICE ADS abort_log abort_type app_id banner_placement_id
    browser canvas_step_message_variation_id>canvas_step_message_variation_api_id device_id
users.messages.banner.Click | Banner Click | - | MESSAGE DEVICE ADS app_id banner_placement_id browser button_id
    canvas_step_message_variation_id>canvas_step_message_variation_api_id device_id is_unique
users.messages.banner.Dismiss | Banner Dismissal | - | MESSAGE DEVICE ADS app_id banner_placement_id browser button_id
    canvas_step_message_variation_id>canvas_step_message_variation_api_id carrier country device_id gender is_unique
    language resolution sdk_version timezone user_id
users.messages.banner.Impression | Banner Impression | - | MESSAGE DEVICE ADS app_id banner_placement_id browser
    canvas_step_message_variation_id>canvas_step_message_variation_api_id device_id
users.messages.contentcard.Abort | Content Card Abort | - | MESSAGE SENDING abort_log abort_type
users.messages.contentcard.Click | Content Card Click | default | MESSAGE SENDING DEVICE ADS app_id
    content_card_id>card_id
users.messages.contentcard.Dismiss | Content Card Dismiss | default | MESSAGE SENDING DEVICE ADS app_id
    content_card_id>card_id
users.messages.contentcard.Impression | Content Card Impression | default | MESSAGE SENDING DEVICE ADS app_id
    content_card_id>card_id
users.messages.contentcard.Send | Content Card Send | default | MESSAGE SENDING content_card_id>card_id message_extras
users.messages.email.Abort | Email Abort | - | MESSAGE SENDING abort_log abort_type email_address ip_pool
users.messages.email.Bounce | Email Bounce | default | MESSAGE SENDING bounce_reason email_address esp from_domain
    ip_pool is_drop
users.messages.email.Click | Email Click | default | MESSAGE SENDING browser device_class device_model device_os
    email_address esp from_domain ip_pool is_amp is_suspected_bot_click link_alias link_id mailbox_provider
    suspected_bot_click_reason url user_agent
users.messages.email.Deferral | Email Deferral | - | MESSAGE attempt_count deferral_reason dispatch_id email_address
    esp from_domain ip_pool recipient_domain send_id
users.messages.email.Delivery | Email Delivery | default | MESSAGE SENDING email_address esp from_domain ip_pool
users.messages.email.MarkAsSpam | Email Mark As Spam | default | MESSAGE SENDING email_address esp from_domain ip_pool
    user_agent
users.messages.email.Open | Email Open | default | MESSAGE SENDING browser device_class device_model device_os
    email_address esp from_domain ip_pool is_amp machine_open mailbox_provider user_agent
users.messages.email.Retry | Email Retry | - | MESSAGE SENDING email_address ip_pool retry_log retry_type
users.messages.email.Send | Email Send | default | MESSAGE SENDING email_address ip_pool message_extras
users.messages.email.SoftBounce | Email Soft Bounce | default | MESSAGE SENDING bounce_reason email_address esp
    from_domain ip_pool
users.messages.email.Unsubscribe | Email Unsubscribe | default | MESSAGE SENDING email_address ip_pool
users.messages.featureflag.Impression | Feature Flag Experiment Impression | - | MESSAGE DEVICE app_id browser
    device_id feature_flag_id_name
users.messages.inappmessage.Abort | In-App Message Abort | - | MESSAGE SENDING DEVICE ADS abort_log abort_type app_id
    card_id
users.messages.inappmessage.Click | In-App Message Click | default | MESSAGE SENDING DEVICE ADS app_id button_id
    card_id
users.messages.inappmessage.Impression | In-App Message Impression | default | MESSAGE SENDING DEVICE ADS app_id
    card_id locale_key message_extras
users.messages.line.Abort | Abort | - | SENDING abort_log abort_type app_group_id campaign_id campaign_name canvas_id
    canvas_step_id canvas_step_name canvas_variation_id line_channel_id line_channel_name message_variation_id
    native_line_id subscription_group_id
users.messages.line.Click | Click | - | SENDING app_group_id campaign_id campaign_name canvas_id canvas_step_id
    canvas_step_name canvas_variation_id is_suspected_bot_click line_channel_id line_channel_name message_variation_id
    native_line_id short_url subscription_group_id url user_agent
users.messages.line.InboundReceive | LINE Inbound Receive | - | SENDING app_group_id campaign_id campaign_name
    canvas_id canvas_step_id canvas_step_name canvas_variation_id line_channel_id line_channel_name media_id
    message_body message_variation_id native_line_id subscription_group_id
users.messages.line.Retry | Line Retry | - | SENDING app_group_id campaign_id campaign_name canvas_id canvas_step_id
    canvas_step_name canvas_variation_id line_channel_id line_channel_name message_variation_id native_line_id
    retry_log retry_type subscription_group_id
users.messages.line.Send | Send | - | SENDING app_group_id campaign_id campaign_name canvas_id canvas_step_id
    canvas_step_name canvas_variation_id line_channel_id line_channel_name message_extras message_variation_id
    native_line_id subscription_group_id
users.messages.liveactivity.Outcome | Live Activity Outcome | - | activity_attributes_type activity_id app_group_id
    app_id live_activity_event_outcome live_activity_event_type push_to_start_token update_token
users.messages.liveactivity.Send | Live Activity Send | - | activity_attributes_type activity_id app_group_id app_id
    live_activity_event_type push_to_start_token update_token
users.messages.pushnotification.Abort | Push Notification Abort | - | MESSAGE SENDING abort_log abort_type app_id
    platform
users.messages.pushnotification.Bounce | Push Notification Bounce | default | MESSAGE SENDING ADS app_id platform
    push_token
users.messages.pushnotification.IosForeground | Push Notification iOS Foreground Open | default | MESSAGE SENDING
    DEVICE ADS app_id
users.messages.pushnotification.Open | Push Notification Open | default | MESSAGE SENDING DEVICE ADS app_id
users.messages.pushnotification.Retry | Push Notification Retry | - | MESSAGE SENDING app_id platform retry_log
    retry_type
users.messages.pushnotification.Send | Push Notification Send | default | MESSAGE SENDING ADS app_id locale_key
    message_extras platform push_token
users.messages.rcs.Abort | Abort | - | MESSAGE abort_log abort_type subscription_group_id
users.messages.rcs.Click | Click | - | MESSAGE device_id element_label element_type interaction_type
    is_suspected_bot_click send_id short_url subscription_group_id suspected_bot_click_reason url user_agent
    user_phone_number
users.messages.rcs.Delivery | Delivery | - | MESSAGE SENDING from_rcs_sender subscription_group_id to_phone_number
users.messages.rcs.InboundReceive | Inbound Receive | - | MESSAGE action media_urls message_body send_id
    subscription_group_id to_rcs_sender user_phone_number
users.messages.rcs.Read | Read | - | MESSAGE to_phone_number
users.messages.rcs.Rejection | Rejection | - | MESSAGE SENDING error from_rcs_sender is_sms_fallback
    provider_error_code subscription_group_id to_phone_number
users.messages.rcs.Send | Send | - | MESSAGE SENDING category from_rcs_sender message_extras subscription_group_id
    to_phone_number
users.messages.sms.Abort | SMS Abort | - | MESSAGE abort_log abort_type subscription_group_id
users.messages.sms.CarrierSend | SMS Send to Carrier | default | MESSAGE SENDING from_phone_number
    subscription_group_id to_phone_number
users.messages.sms.Delivery | SMS Delivery | default | MESSAGE SENDING from_phone_number is_sms_fallback
    subscription_group_id to_phone_number
users.messages.sms.DeliveryFailure | SMS Delivery Failure | default | MESSAGE SENDING error is_sms_fallback
    provider_error_code subscription_group_id to_phone_number
users.messages.sms.InboundReceive | SMS Inbound Receipt | default | MESSAGE action inbound_phone_number media_urls
    message_body subscription_group_id user_phone_number
users.messages.sms.Rejection | SMS Rejection | default | MESSAGE SENDING error from_phone_number is_sms_fallback
    provider_error_code subscription_group_id to_phone_number
users.messages.sms.Retry | SMS Retry | - | MESSAGE retry_log retry_type subscription_group_id
users.messages.sms.Send | SMS Send | default | MESSAGE SENDING category message_extras subscription_group_id
    to_phone_number
users.messages.sms.ShortLinkClick | SMS Short Link Click | - | MESSAGE device_id is_suspected_bot_click short_url
    suspected_bot_click_reason url user_agent user_phone_number
users.messages.webhook.Abort | Webhook Abort | - | MESSAGE SENDING abort_log abort_type
users.messages.webhook.Failure | Webhook Failure | - | MESSAGE content_length dispatch_id endpoint_url host
    http_status_code is_terminal raw_response retry_count send_id url_path webhook_duration webhook_failure_source
users.messages.webhook.Retry | Webhook Retry | - | MESSAGE SENDING retry_log retry_type
users.messages.webhook.Send | Webhook Send | default | MESSAGE SENDING message_extras
users.messages.whatsapp.Abort | WhatsApp Abort | - | MESSAGE abort_log abort_type bsuid device_id dispatch_id
    subscription_group_id to_phone_number
users.messages.whatsapp.Click | WhatsApp Tracked Link Click | - | MESSAGE device_id short_url url user_agent
    user_phone_number
users.messages.whatsapp.Delivery | WhatsApp Delivery | - | MESSAGE SENDING bsuid flow_id from_phone_number message_id
    subscription_group_id template_name to_phone_number
users.messages.whatsapp.Failure | WhatsApp Failure | - | MESSAGE SENDING bsuid flow_id from_phone_number message_id
    provider_error_code provider_error_title subscription_group_id template_name to_phone_number
users.messages.whatsapp.InboundReceive | WhatsApp Inbound Received | - | MESSAGE action bsuid catalog_id device_id
    flow_id flow_response_json in_reply_to inbound_phone_number media_urls message_body message_id product_id
    quick_reply_text subscription_group_id user_phone_number
users.messages.whatsapp.Read | WhatsApp Read | - | MESSAGE SENDING bsuid flow_id from_phone_number message_id
    subscription_group_id template_name to_phone_number
users.messages.whatsapp.Retry | WhatsApp Retry | - | MESSAGE bsuid device_id dispatch_id retry_log retry_type
    subscription_group_id to_phone_number
users.messages.whatsapp.Send | WhatsApp Send | - | MESSAGE SENDING bsuid flow_id from_phone_number message_extras
    message_id subscription_group_id template_name to_phone_number
users.behaviors.app.NewsFeedImpression | News Feed Impression | default | DEVICE app_id
users.messages.newsfeedcard.Impression | News Feed Card Impression | default | DEVICE app_id card_id
users.messages.newsfeedcard.Click | News Feed Card Click | default | DEVICE app_id card_id
users.messages.newsfeedcard.Abort | News Feed Card Abort | -, inferred | DEVICE abort_log abort_type app_group_id
    app_id browser campaign_name canvas_name canvas_step_name canvas_variation_name card_id device_id
    message_variation_name
users.campaigns.Abort | Campaign Abort | -, inferred | CAMPAIGN SENDING abort_log abort_type app_group_id canvas_id
users.canvas.Abort | Canvas Abort | -, inferred | CANVAS abort_log abort_type app_group_id device_id
""",
)

CUSTOM_EVENT = "users.behaviors.CustomEvent"
PURCHASE = "users.behaviors.Purchase"
JSON_PREFIXES = {CUSTOM_EVENT: "[Custom event property] ", PURCHASE: "[Purchase property] "}
"""Where `properties` is the customer's JSON: its keys go under this prefix, so that none can be a reserved name."""
NAME_PLACE = "<name>"
"""Stands for the custom event's own name in the event name, also in an override."""

UNTRACKED_NAMES = frozenset(
    {
        "Canvas Entry",
        "Email Send",
        "Email Delivery",
        "Email Bounce",
        "Email Soft Bounce",
        "Email Mark As Spam",
        "Email Unsubscribe",
        "Push Notification Send",
        "Push Notification Bounce",
        "Webhook Send",
        "SMS Send",
        "SMS Delivery",
        "SMS Delivery Failure",
        "SMS Rejection",
        "SMS Send to Carrier",
    }
)
"""Event names that do not count as monthly tracked users (Mixpanel's page on its Braze integration)."""
