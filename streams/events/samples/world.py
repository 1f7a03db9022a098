"""The made-up company that samples come from: its people and their devices, its campaigns and canvases.

It is the same in every run; only the events are random. Addresses, phone numbers and networks are from ranges that are
reserved for examples: example.com and example.org (RFC 2606), +1 … 555 01xx and Ofcom's numbers for drama,
192.0.2.0/24, 198.51.100.0/24 and 203.0.113.0/24 (RFC 5737).
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from random import Random

PEOPLE = 1_000
"""Few enough for several events of one person in a small sample, so that order per key can be seen."""
WORLD_SEED = 20_260_629

FIRST_NAMES = """
Amara Bjørn Chloé Daniel Élodie Farid Greta Hiro Inês Jakub Kwame Lucía Łukasz Mei Noah Oğuz Priya Quentin
Rosa Søren Tomáš Uma Violeta Wanjiru Ximena Yara Zoë 太郎 さくら Олена Γιώργος
"""
LAST_NAMES = """
Almeida Baker Çelik Dąbrowski Eriksen Fernández Grün Haddad Ito Jensen Kovač Laurent Müller Nakamura Okafor
Patel Quispe Rossi Šimek Tanaka Usman Vega Weiß Young Žák 山田 Коваль Παππάς
"""
PLACES = (
    ("Lisbon", "Europe/Lisbon", "Portugal", "pt"),
    ("Berlin", "Europe/Berlin", "Germany", "de"),
    ("Kraków", "Europe/Warsaw", "Poland", "pl"),
    ("São Paulo", "America/Sao_Paulo", "Brazil", "pt"),
    ("Austin", "America/Chicago", "United States", "en"),
    ("London", "Europe/London", "United Kingdom", "en"),
    ("Nairobi", "Africa/Nairobi", "Kenya", "en"),
    ("Zürich", "Europe/Zurich", "Switzerland", "de"),
    ("東京", "Asia/Tokyo", "Japan", "ja"),
)
CAMPAIGN_NAMES = (
    "Welcome, part 1",
    "Basket reminder",
    "Spring sale 🌷",
    "Été: nouveautés",
    "Größen wieder da",
    "夏のセール",
    "Order shipped",
    "Rate your purchase",
    "Price drop alert",
    "We miss you — 20 % off",
    "Black Friday preview",
    "Newsletter week 27",
)
CANVAS_NAMES = ("Onboarding", "Win back", "Post-purchase care", "Réactivation été", "Trial to plan", "Birthday 🎂")
STEP_NAMES = ("Day 1 e-mail", "Wait for opening", "Push if not opened", "In-app offer", "Rückfrage", "Last call")
VARIATION_NAMES = ("Variant 1", "Variant 2", "Long subject", "Émoji", "Control")

DEVICES = (
    ("ios", "iPhone15,2", "17.5.1", "1179x2556"),
    ("ios", "iPhone14,5", "16.7.8", "1170x2532"),
    ("ios", "iPad13,18", "17.4", "1640x2360"),
    ("ios", "iPhone17,1", "18.1", "1206x2622"),
    ("android", "Pixel 8", "14", "1080x2400"),
    ("android", "SM-S918B", "14", "1440x3088"),
    ("android", "Redmi Note 12", "13", "1080x2400"),
    ("android", "Pixel 6a", "15", "1080x2400"),
    ("web", "Chrome", "126.0.0", "1920x1080"),
    ("web", "Firefox", "127.0", "1536x864"),
    ("web", "Safari", "17.4", "1440x900"),
    ("kindle", "KFTRWI", "9.3.8", "1200x2000"),
    ("tvos", "AppleTV14,1", "17.5", "3840x2160"),
    ("roku", "4802X", "13.0", "3840x2160"),
)
DEVICE_WEIGHTS = (10, 7, 2, 5, 8, 8, 5, 4, 9, 3, 4, 1, 1, 1)
CARRIERS = ("Example Mobile", "Beispiel Funk", "Exemple Télécom")


@dataclass(frozen=True, slots=True)
class Person:
    """One customer of the company, with the device that they use."""

    user_id: str
    external_user_id: str
    first_name: str
    last_name: str
    email_address: str
    phone_number: str
    born_on: str
    gender: str
    city: str
    timezone: str
    country: str
    language: str
    platform: str
    device_model: str
    os_version: str
    resolution: str
    carrier: str
    device_id: str
    advertising_id: str
    app_id: str


@dataclass(frozen=True, slots=True)
class Message:
    """A campaign's variation or a canvas's step: `id`, `name` and `variation_*` are the campaign's or the canvas's."""

    id: str
    name: str
    variation_id: str
    variation_name: str
    step_id: str
    step_name: str
    step_message_variation_id: str


@dataclass(frozen=True, slots=True)
class World:
    """Everything that events refer to."""

    app_group_id: str
    people: tuple[Person, ...]
    people_on_ios: tuple[Person, ...]
    campaigns: tuple[Message, ...]
    canvases: tuple[Message, ...]
    subscription_groups: tuple[str, ...]


@lru_cache(maxsize=1)
def world() -> World:
    """The company; made once per process."""
    random = Random(WORLD_SEED)  # noqa: S311 - samples, not secrets
    apps = {platform: uuid(random) for platform in dict.fromkeys(device[0] for device in DEVICES)}
    people = tuple(_person(random, number, apps) for number in range(PEOPLE))
    return World(
        app_group_id=uuid(random),
        people=people,
        people_on_ios=tuple(person for person in people if person.platform == "ios"),
        campaigns=_messages(random, CAMPAIGN_NAMES),
        canvases=_messages(random, CANVAS_NAMES),
        subscription_groups=tuple(uuid(random) for _ in range(4)),
    )


def uuid(random: Random) -> str:
    """A UUID of version 4 from the generator's bits."""
    bits = random.getrandbits(128) & ~(0xF << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def bson_id(random: Random) -> str:
    """24 hex digits, as Braze's own ids are."""
    return f"{random.getrandbits(96):024x}"


def phone_number(random: Random) -> str:
    """A phone number that no person has, in E.164 form."""
    if random.random() < 0.5:
        return f"+1{random.choice((212, 312, 415, 512, 617))}55501{random.randrange(100):02}"
    return f"+447700900{random.randrange(1000):03}"


def _person(random: Random, number: int, apps: dict[str, str]) -> Person:
    first_name, last_name = random.choice(FIRST_NAMES.split()), random.choice(LAST_NAMES.split())
    city, timezone, country, language = random.choice(PLACES)
    platform, device_model, os_version, resolution = random.choices(DEVICES, DEVICE_WEIGHTS)[0]
    advertising_id = uuid(random)
    return Person(
        user_id=bson_id(random),
        external_user_id=f"customer-{number:05}",
        first_name=first_name,
        last_name=last_name,
        email_address=_email_address(first_name, number),
        phone_number=phone_number(random),
        born_on=f"{random.randint(1950, 2006)}-{random.randint(1, 12):02}-{random.randint(1, 28):02}",
        gender=random.choice("MFONPU"),
        city=city,
        timezone=timezone,
        country=country,
        language=language,
        platform=platform,
        device_model=device_model,
        os_version=os_version,
        resolution=resolution,
        carrier=random.choice(CARRIERS),
        device_id=uuid(random).upper() if platform == "ios" else uuid(random),
        advertising_id=advertising_id.upper() if platform == "ios" else advertising_id,
        app_id=apps[platform],
    )


def _email_address(first_name: str, number: int) -> str:
    letters = unicodedata.normalize("NFKD", first_name).encode("ascii", "ignore").decode().lower()
    return f"{letters or 'customer'}.{number}@example.{'com' if number % 3 else 'org'}"


def _messages(random: Random, names: tuple[str, ...]) -> tuple[Message, ...]:
    return tuple(message for name in names for message in _variations(random, name))


def _variations(random: Random, name: str) -> list[Message]:
    """Two variations of one campaign or canvas. Both have its id."""
    message_id = uuid(random)
    return [
        Message(
            id=message_id,
            name=name,
            variation_id=uuid(random),
            variation_name=variation_name,
            step_id=uuid(random),
            step_name=random.choice(STEP_NAMES),
            step_message_variation_id=uuid(random),
        )
        for variation_name in random.sample(VARIATION_NAMES, 2)
    ]
