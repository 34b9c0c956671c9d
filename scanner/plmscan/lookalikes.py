"""Letters of other scripts that show as Latin ones.

Taken from the confusables of Unicode (UTS #39), and compared with them in a test: letters, one for
one, that no normalisation turns into Latin ones.  Digits and signs are left out: nobody reads a
word with a digit in it as a word.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LOOKALIKES"]

_LIKE = {
    "a": "ɑΑαАаᎪᗅꓮ𐊠𖽀𝚨𝛂𝛢𝛼𝜜𝜶𝝖𝝰𝞐𝞪",
    "b": "ƄΒВЬᏏᏴᑲᖯᗷꓐꞴ𐊂𐊡𐌁𝚩𝛣𝜝𝝗𝞑",
    "c": "ϲϹСсᏟᴄⲤⲥꓚꮯ𐊢𐌂𐐕𐐽𐔜",
    "d": "ԁᎠᏧᑯᗞᗪꓒꓓ",
    "e": "ΕЕеҽᎬⴹꓰꬲ𐊆𑢦𑢮𝚬𝛦𝜠𝝚𝞔",
    "f": "ϜքᖴẝꓝꞘꞙꬵ𐊇𐊥𐔥𑢢𑣂𝟊",
    "g": "ƍɡԌցᏀᏳᶃꓖ",
    "h": "ΗНһհᎻᏂᕼⲎꓧ𐋏𝚮𝛨𝜢𝝜𝞖",
    "i": "ıƖɩɪΙιІіӏᎥιⲒꓲꙇꭵ𑣃𝚤𝚰𝛊𝛪𝜄𝜤𝜾𝝞𝝸𝞘𝞲",
    "j": "ͿϳЈјᎫᒍꓙꞲ",
    "k": "ΚКᏦᛕⲔꓗ𐔘𝚱𝛫𝜥𝝟𝞙",
    "l": "ǀӀᏞᒪᛁⳐⵏꓡ𐊊𐌉𐐛𐔦𑢲𖼖𖼨𑢣",
    "m": "ΜϺМᎷᗰᛖⲘꓟ𐊰𐌑𝚳𝛭𝜧𝝡𝞛",
    "n": "ΝոռⲚꓠ𐔓𝚴𝛮𝜨𝝢𝞜",
    "o": "ΟοσОоՕօଠഠဝჿዐᴏᴑⲞⲟⵔꓳꬽ𐊒𐊫𐐄𐐬𐓂𐓪𐔖𑢵𑣈𑣗𝚶𝛐𝛔𝛰𝜊𝜎𝜪𝝄𝝈𝝤𝝾𝞂𝞞𝞸𝞼",
    "p": "ΡρϱРрᏢᑭⲢⲣꓑ𐊕𝚸𝛒𝛠𝛲𝜌𝜚𝜬𝝆𝝔𝝦𝞀𝞎𝞠𝞺𝟈",
    "q": "ԛգզⵕ",
    "r": "ƦгᎡᏒᖇᴦⲅꓣꭇꭈꮁ𐒴𖼵",
    "s": "ƽЅѕՏᏕᏚꓢꜱꮪ𐊖𐐠𐑈𑣁𖼺",
    "t": "ΤТⲦꓔ𐊗𐊱𐌕𖼊𝚻𝛵𝜯𝝩𝞣𑢼Ꭲ",
    "u": "ʋυՍսሀᑌᴜꓴꞟꭎꭒ𐓎𐓶𑢸𑣘𖽂𝛖𝜐𝝊𝞄𝞾",
    "v": "νѴѵᏙᐯᴠⴸꓦꛟꮩ𐔝𑜆𑢠𑣀𖼈𝛎𝜈𝝂𝝼𝞶",
    "w": "ɯѡԜԝաᎳᏔᴡꓪꮃ𑜊𑜎𑜏",
    "x": "ΧХхᕁᕽᚷⲬⵝꓫꞳ𐊐𐊴𐌗𐔧𝚾𝛸𝜲𝝬𝞦",
    "y": "ɣʏΥγϒУуҮүყᎩᎽᶌỿℽⲨꓬꭚ𐊲𑣜𖽃𝚼𝛄𝛶𝛾𝜰𝜸𝝪𝝲𝞤𝞬𑢤",
    "z": "ΖᏃᴢꓜꮓ𑢩𑣄𝚭𝛧𝜡𝝛𝞕",
}
"""Latin letter -> what looks like it, as a small or as a capital letter."""

LOOKALIKES: Mapping[str, str] = MappingProxyType(
    {character: letter for letter, alike in _LIKE.items() for character in alike}
)
"""Character -> small Latin letter."""
