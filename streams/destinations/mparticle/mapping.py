"""Which Currents events mParticle gets, under which names, with which attributes, through which feed.

A line is: event type | mParticle's event name | `default` where Braze lists it for its own connector to mParticle, so
that a connector without `events` selects it | feed rule | Avro fields. Capitals stand for `table.GROUPS`; `field>name`
is sent under another name; `field@mobile` is a phone number that becomes the user attribute `$mobile`; `@idfv @model
@platform @ads @email` say which of device_id, device_model, platform, ad_id and email_address move into device_info and
user_identities. A field that a writer's schema lacks is left out. Names marked inferred are in no document.

Feed rules: `platform` is by the app of app_id, else by the record's platform, else unbound; `by app_id` is by the
app, else unbound; `unbound` is always unbound.
"""

from __future__ import annotations

from streams.destinations.mparticle.feed_event import FeedEvent, parse, parse_classic

EVENTS: dict[str, FeedEvent] = parse(
    """
users.behaviors.Uninstall | Application Uninstalls | default | by app_id | app_group_id app_id device_id @idfv
users.behaviors.subscription.GlobalStateChange | Global Subscription State Changes | default | unbound | MESSAGE
    app_id channel channel_identifier send_id state_change_source subscription_status @email
users.behaviors.subscriptiongroup.StateChange | Subscription Group State Changes | default | unbound | MESSAGE SENDING
    app_id channel channel_identifier state_change_source subscription_group_id subscription_status @idfv @email
users.campaigns.Conversion | Campaign Conversions | default | unbound | CAMPAIGN SENDING app_group_id
    conversion_behavior conversion_behavior_index @idfv
users.campaigns.EnrollInControl | Campaign Control Group Enrollments | default | unbound | CAMPAIGN SENDING
    app_group_id @idfv
users.canvas.Conversion | Canvas Conversions | default | unbound | CANVAS app_group_id conversion_behavior
    conversion_behavior_index device_id @idfv
users.canvas.Entry | Canvas Entries | default | unbound | CANVAS app_group_id device_id in_control_group @idfv
users.canvas.costep.Send | Canvas Content Optimizer Step Sends | - | unbound | app_group_id canvas_variation_id
    channel combination_token content_optimizer_step_id dispatch_id user_id
users.canvas.exit.MatchedAudience | Exit Matched Audiences | default | unbound | CANVAS app_group_id
users.canvas.exit.PerformedEvent | Exit Performed Events | default | unbound | CANVAS app_group_id
users.canvas.experimentstep.Conversion | Experiment Step Conversions | default | unbound | CANVAS conversion_behavior
    conversion_behavior_index experiment_split_id experiment_split_name experiment_step_id
users.canvas.experimentstep.SplitEntry | Experiment Split Entries | default | unbound | CANVAS experiment_split_id
    experiment_split_name experiment_step_id in_control_group
users.canvasstep.Progression | Canvas Step Progressions | - | unbound | CANVAS app_group_id canvas_entry_id device_id
    exit_reason is_canvas_entry next_step_id progression_type @idfv
users.messages.banner.Abort | Banner Aborts | - | platform | MESSAGE abort_log abort_type app_id banner_placement_id
    browser canvas_step_message_variation_id>canvas_step_message_variation_api_id device_id @ads @idfv @model
    @platform
users.messages.banner.Click | Banner Clicks | - | platform | MESSAGE app_id banner_placement_id browser button_id
    canvas_step_message_variation_id>canvas_step_message_variation_api_id device_id is_unique @ads @idfv @model
    @platform
users.messages.banner.Dismiss | Banner Dismissals | - | platform | MESSAGE ad_id_type app_id banner_placement_id
    browser button_id canvas_step_message_variation_id>canvas_step_message_variation_api_id carrier country device_id
    gender is_unique language os_version resolution sdk_version timezone user_id @ads @idfv @model @platform
users.messages.banner.Impression | Banner Impressions | - | platform | MESSAGE app_id banner_placement_id browser
    canvas_step_message_variation_id>canvas_step_message_variation_api_id device_id @ads @idfv @model @platform
users.messages.contentcard.Abort | Content Card Aborts | default | unbound | MESSAGE SENDING abort_log abort_type
    @idfv
users.messages.contentcard.Click | Content Card Clicks | default | platform | MESSAGE SENDING app_id
    content_card_id>card_id @ads @idfv @model @platform
users.messages.contentcard.Dismiss | Content Card Dismisses | default | platform | MESSAGE SENDING app_id
    content_card_id>card_id @ads @idfv @model @platform
users.messages.contentcard.Impression | Content Card Impressions | default | platform | MESSAGE SENDING app_id
    content_card_id>card_id @ads @idfv @model @platform
users.messages.contentcard.Send | Content Card Sends | default | by app_id | MESSAGE SENDING app_id
    content_card_id>card_id message_extras @idfv
users.messages.email.Abort | Email Aborts | default | unbound | MESSAGE SENDING abort_log abort_type ip_pool @idfv
    @email
users.messages.email.Bounce | Email Bounces | default | unbound | MESSAGE SENDING bounce_reason esp from_domain
    ip_pool is_drop @idfv @email
users.messages.email.Click | Email Clicks | default | unbound | MESSAGE SENDING browser device_class device_os esp
    from_domain ip_pool is_amp is_suspected_bot_click link_alias link_id mailbox_provider url user_agent @idfv @model
    @email
users.messages.email.Deferral | Email Deferrals | - | unbound | MESSAGE attempt_count deferral_reason dispatch_id esp
    from_domain ip_pool recipient_domain send_id @email
users.messages.email.Delivery | Email Deliveries | default | unbound | MESSAGE SENDING esp from_domain ip_pool @idfv
    @email
users.messages.email.MarkAsSpam | Email Marks As Spam | default | unbound | MESSAGE SENDING esp from_domain ip_pool
    user_agent @idfv @email
users.messages.email.Open | Email Opens | default | unbound | MESSAGE SENDING browser device_class device_os esp
    from_domain ip_pool is_amp machine_open mailbox_provider user_agent @idfv @model @email
users.messages.email.Retry | Email Retries | - | unbound | MESSAGE SENDING ip_pool retry_log retry_type @idfv @email
users.messages.email.Send | Email Sends | default | unbound | MESSAGE SENDING esp from_domain ip_pool message_extras
    @idfv @email
users.messages.email.SoftBounce | Email Soft Bounces | default | unbound | MESSAGE SENDING bounce_reason esp
    from_domain ip_pool @idfv @email
users.messages.email.Unsubscribe | Email Unsubscribes | default | unbound | MESSAGE SENDING ip_pool @idfv @email
users.messages.featureflag.Impression | Feature Flag Experiment Impressions | - | platform | MESSAGE app_id browser
    device_id feature_flag_id_name @idfv @model @platform
users.messages.inappmessage.Abort | In-App Message Aborts | default | platform | MESSAGE SENDING abort_log abort_type
    app_id @ads @idfv @model @platform
users.messages.inappmessage.Click | In-App Message Clicks | default | platform | MESSAGE SENDING app_id button_id
    card_id @ads @idfv @model @platform
users.messages.inappmessage.Impression | In-App Message Impressions | default | platform | MESSAGE SENDING app_id
    card_id locale_key message_extras @ads @idfv @model @platform
users.messages.line.Abort | Aborts | - | unbound | SENDING abort_log abort_type app_group_id campaign_id campaign_name
    canvas_id canvas_step_id canvas_step_name canvas_variation_id line_channel_id line_channel_name
    message_variation_id native_line_id subscription_group_id @idfv
users.messages.line.Click | Clicks | - | unbound | SENDING app_group_id campaign_id campaign_name canvas_id
    canvas_step_id canvas_step_name canvas_variation_id is_suspected_bot_click line_channel_id line_channel_name
    message_variation_id native_line_id short_url subscription_group_id url user_agent @idfv
users.messages.line.InboundReceive | LINE Inbound Receives | - | unbound | SENDING app_group_id campaign_id
    campaign_name canvas_id canvas_step_id canvas_step_name canvas_variation_id line_channel_id line_channel_name
    media_id message_body message_variation_id native_line_id subscription_group_id @idfv
users.messages.line.Retry | Line Retries | - | unbound | SENDING app_group_id campaign_id campaign_name canvas_id
    canvas_step_id canvas_step_name canvas_variation_id line_channel_id line_channel_name message_variation_id
    native_line_id retry_log retry_type subscription_group_id @idfv
users.messages.line.Send | Sends | - | unbound | SENDING app_group_id campaign_id campaign_name canvas_id
    canvas_step_id canvas_step_name canvas_variation_id line_channel_id line_channel_name message_extras
    message_variation_id native_line_id subscription_group_id @idfv
users.messages.liveactivity.Outcome | Live Activity Outcomes | - | by app_id | activity_attributes_type activity_id
    app_group_id app_id live_activity_event_outcome live_activity_event_type push_to_start_token update_token
users.messages.liveactivity.Send | Live Activity Sends | - | by app_id | activity_attributes_type activity_id
    app_group_id app_id live_activity_event_type push_to_start_token update_token
users.messages.pushnotification.Abort | Push Notification Aborts | default | platform | MESSAGE SENDING abort_log
    abort_type app_id @idfv @platform
users.messages.pushnotification.Bounce | Push Notification Bounces | default | platform | MESSAGE SENDING app_id
    push_token @ads @idfv @platform
users.messages.pushnotification.Open | Push Notification Opens | default | platform | MESSAGE SENDING app_id @ads
    @idfv @model @platform
users.messages.pushnotification.Retry | Push Notification Retries | - | platform | MESSAGE SENDING app_id retry_log
    retry_type @idfv @platform
users.messages.pushnotification.Send | Push Notification Sends | default | platform | MESSAGE SENDING app_id
    locale_key message_extras push_token @ads @idfv @platform
users.messages.rcs.Abort | Aborts | - | unbound | MESSAGE abort_log abort_type subscription_group_id
users.messages.rcs.Click | Clicks | - | unbound | MESSAGE device_id element_label element_type interaction_type
    is_suspected_bot_click send_id short_url subscription_group_id url user_agent @idfv user_phone_number@mobile
users.messages.rcs.Delivery | Deliveries | - | unbound | MESSAGE SENDING from_rcs_sender subscription_group_id @idfv
    to_phone_number@mobile
users.messages.rcs.InboundReceive | Inbound Receives | - | unbound | MESSAGE action message_body send_id
    subscription_group_id to_rcs_sender user_phone_number@mobile
users.messages.rcs.Read | Reads | - | unbound | MESSAGE to_phone_number@mobile
users.messages.rcs.Rejection | Rejections | - | unbound | MESSAGE SENDING error from_rcs_sender is_sms_fallback
    provider_error_code subscription_group_id @idfv to_phone_number@mobile
users.messages.rcs.Send | Sends | - | unbound | MESSAGE SENDING category from_rcs_sender message_extras
    subscription_group_id @idfv to_phone_number@mobile
users.messages.sms.Abort | SMS Aborts | default | unbound | MESSAGE abort_log abort_type subscription_group_id
users.messages.sms.CarrierSend | SMS Carrier Sends | default | unbound | MESSAGE SENDING from_phone_number
    subscription_group_id @idfv to_phone_number@mobile
users.messages.sms.Delivery | SMS Deliveries | default | unbound | MESSAGE SENDING from_phone_number is_sms_fallback
    subscription_group_id @idfv to_phone_number@mobile
users.messages.sms.DeliveryFailure | SMS Delivery Failures | default | unbound | MESSAGE SENDING error from_phone_number
    is_sms_fallback provider_error_code subscription_group_id @idfv to_phone_number@mobile
users.messages.sms.InboundReceive | SMS Inbound Received | default | unbound | MESSAGE action inbound_phone_number
    message_body subscription_group_id user_phone_number@mobile
users.messages.sms.Rejection | SMS Rejections | default | unbound | MESSAGE SENDING error from_phone_number
    is_sms_fallback provider_error_code subscription_group_id @idfv to_phone_number@mobile
users.messages.sms.Retry | SMS Retries | - | unbound | MESSAGE retry_log retry_type subscription_group_id
users.messages.sms.Send | SMS Sends | default | unbound | MESSAGE SENDING category message_extras
    subscription_group_id @idfv to_phone_number@mobile
users.messages.sms.ShortLinkClick | SMS Short Link Clicks | default | unbound | MESSAGE device_id
    is_suspected_bot_click short_url url user_agent @idfv user_phone_number@mobile
users.messages.webhook.Abort | Webhook Aborts | default | unbound | MESSAGE SENDING abort_log abort_type @idfv
users.messages.webhook.Failure | Webhook Failures | - | unbound | MESSAGE content_length dispatch_id endpoint_url host
    http_status_code is_terminal raw_response retry_count send_id url_path webhook_duration webhook_failure_source
users.messages.webhook.Retry | Webhook Retries | - | unbound | MESSAGE SENDING retry_log retry_type @idfv
users.messages.webhook.Send | Webhook Sends | default | unbound | MESSAGE SENDING message_extras @idfv
users.messages.whatsapp.Abort | WhatsApp Aborts | default | unbound | MESSAGE abort_log abort_type bsuid device_id
    dispatch_id subscription_group_id @idfv to_phone_number@mobile
users.messages.whatsapp.Click | WhatsApp Tracked Link Clicks | - | unbound | MESSAGE device_id short_url url
    user_agent @idfv user_phone_number@mobile
users.messages.whatsapp.Delivery | WhatsApp Deliveries | default | unbound | MESSAGE SENDING bsuid flow_id
    from_phone_number message_id subscription_group_id template_name @idfv to_phone_number@mobile
users.messages.whatsapp.Failure | WhatsApp Failures | default | unbound | MESSAGE SENDING bsuid flow_id
    from_phone_number message_id provider_error_code provider_error_title subscription_group_id template_name @idfv
    to_phone_number@mobile
users.messages.whatsapp.InboundReceive | WhatsApp Inbound Received | default | unbound | MESSAGE action bsuid
    catalog_id device_id flow_id flow_response_json in_reply_to inbound_phone_number message_body message_id
    product_id quick_reply_text subscription_group_id @idfv user_phone_number@mobile
users.messages.whatsapp.Read | WhatsApp Reads | default | unbound | MESSAGE SENDING bsuid flow_id from_phone_number
    message_id subscription_group_id template_name @idfv to_phone_number@mobile
users.messages.whatsapp.Retry | WhatsApp Retries | - | unbound | MESSAGE bsuid device_id dispatch_id retry_log
    retry_type subscription_group_id @idfv to_phone_number@mobile
users.messages.whatsapp.Send | WhatsApp Sends | default | unbound | MESSAGE SENDING bsuid flow_id from_phone_number
    message_extras message_id subscription_group_id template_name @idfv to_phone_number@mobile
users.behaviors.app.NewsFeedImpression | News Feed Views | default | platform | app_id campaign_id canvas_id
    canvas_step_id canvas_variation_id card_id device_id @idfv @model @platform
users.messages.newsfeedcard.Impression | News Feed Card Views | default | platform | app_id campaign_id canvas_id
    canvas_step_id canvas_variation_id card_id device_id @idfv @model @platform
users.messages.newsfeedcard.Click | News Feed Card Clicks | default | platform | app_id campaign_id canvas_id
    canvas_step_id canvas_variation_id card_id device_id @idfv @model @platform
users.messages.newsfeedcard.Abort | News Feed Card Aborts | -, inferred | platform | abort_log abort_type app_group_id
    app_id browser campaign_name canvas_name canvas_step_name canvas_variation_name card_id device_id
    message_variation_name @idfv @model @platform
users.campaigns.Abort | Campaign Aborts | default, inferred | unbound | CAMPAIGN SENDING abort_log abort_type
    app_group_id canvas_id @idfv
users.canvas.Abort | Canvas Aborts | default, inferred | unbound | CANVAS abort_log abort_type app_group_id device_id
    @idfv
""",
)

CLASSIC = parse_classic(
    """
users.behaviors.Uninstall | Application Uninstalled | app_id
users.behaviors.subscriptiongroup.StateChange | Subscription Group State Change | campaign_id canvas_step_id canvas_id
    canvas_variation_id
users.campaigns.Conversion | Campaign Conversion Event | campaign_id
users.campaigns.EnrollInControl | Campaign Enrollment in Control Group | campaign_id
users.canvas.Conversion | Canvas Conversion Event | canvas_step_id canvas_id canvas_variation_id
users.canvas.Entry | Canvas Entry | in_control_group canvas_id canvas_variation_id
users.messages.contentcard.Click | Content Card Clicked | app_id card_id campaign_id canvas_step_id canvas_id
    canvas_variation_id
users.messages.contentcard.Dismiss | Content Card Dismissed | app_id card_id campaign_id canvas_step_id canvas_id
    canvas_variation_id
users.messages.contentcard.Impression | Content Card Viewed | app_id card_id campaign_id canvas_step_id canvas_id
    canvas_variation_id
users.messages.contentcard.Send | Content Card Sent | app_id card_id campaign_id canvas_step_id canvas_id
    canvas_variation_id
users.messages.email.Bounce | Email Bounced | campaign_id canvas_step_id canvas_id canvas_variation_id
users.messages.email.Click | Email Clicked | campaign_id canvas_step_id canvas_id canvas_variation_id
users.messages.email.Delivery | Email Delivered | campaign_id canvas_step_id canvas_id canvas_variation_id
users.messages.email.MarkAsSpam | Email Marked As Spam | campaign_id canvas_step_id canvas_id canvas_variation_id
users.messages.email.Open | Email Opened | campaign_id canvas_step_id canvas_id canvas_variation_id
users.messages.email.Send | Email Sent | campaign_id canvas_step_id canvas_id canvas_variation_id
users.messages.email.Unsubscribe | Email Unsubscribed | campaign_id canvas_step_id canvas_id canvas_variation_id
users.messages.inappmessage.Click | In-App Message Clicked | button_id app_id campaign_id canvas_step_id canvas_id
    canvas_variation_id
users.messages.inappmessage.Impression | In-App Message Impression | app_id campaign_id canvas_step_id canvas_id
    canvas_variation_id
users.messages.pushnotification.Bounce | Push Notification Bounce | app_id campaign_id canvas_step_id canvas_id
    canvas_variation_id
users.messages.pushnotification.Open | Push Notification Open | app_id campaign_id canvas_step_id canvas_id
    canvas_variation_id
users.messages.pushnotification.Send | Push Notification Send | app_id campaign_id canvas_step_id canvas_id
    canvas_variation_id
users.messages.sms.CarrierSend | SMS Carrier Sends | campaign_id campaign_name message_variation_id canvas_step_id
    canvas_step_name canvas_id canvas_name canvas_variation_id canvas_variation_name to_phone_number from_phone_number
users.messages.sms.Delivery | SMS Deliveries | campaign_id campaign_name message_variation_id canvas_step_id
    canvas_step_name canvas_id canvas_name canvas_variation_id canvas_variation_name to_phone_number from_phone_number
users.messages.sms.DeliveryFailure | SMS Delivery Failures | campaign_id campaign_name message_variation_id
    canvas_step_id canvas_step_name canvas_id canvas_name canvas_variation_id canvas_variation_name to_phone_number
    from_phone_number error provider_error_code
users.messages.sms.InboundReceive | SMS Inbound Received | inbound_phone_number action message_body
users.messages.sms.Rejection | SMS Rejections | campaign_id campaign_name message_variation_id canvas_step_id
    canvas_step_name canvas_id canvas_name canvas_variation_id canvas_variation_name to_phone_number from_phone_number
    error provider_error_code
users.messages.sms.Send | SMS Sends | campaign_id campaign_name message_variation_id canvas_step_id canvas_step_name
    canvas_id canvas_name canvas_variation_id canvas_variation_name to_phone_number
users.messages.webhook.Send | Webhook Sent | campaign_id canvas_step_id canvas_id canvas_variation_id
users.behaviors.app.NewsFeedImpression | News Feed Viewed | app_id card_id campaign_id canvas_step_id canvas_id
    canvas_variation_id
users.messages.newsfeedcard.Impression | News Feed Card Viewed | app_id card_id campaign_id canvas_step_id canvas_id
    canvas_variation_id
users.messages.newsfeedcard.Click | News Feed Card Clicked | app_id card_id campaign_id canvas_step_id canvas_id
    canvas_variation_id
"""
)
"""The names of 2021, and the only attributes that were listed then: for `event_names: classic`."""

UNINSTALL = "users.behaviors.Uninstall"
"""mParticle's own event type `uninstall`; it has no name of its own."""
