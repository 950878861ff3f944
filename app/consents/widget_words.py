"""The widget's own few words, by language. What people choose is told by the platform's registered wordings, and by these never."""

from app.core.deed import CATALOGS

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "ask": "What may be done with what you give here?",
        "terms": "All the terms",
        "again": "You chose this here before. You can choose again.",
        "kept": "Your choice goes along with what you send.",
        "lost": "Your choice could not be kept. Try again in a moment.",
        "away": "The choices could not be loaded.",
        "choose": "Choose one of these.",
        "claim": "See what you gave, change the terms, or take it back",
        "keep": "Keep this link. It is for you alone.",
        "send": "Keep my choice",
        "code": "Copy this code into the form:",
        "change": "Choose again",
    },
    "es": {
        "ask": "¿Qué se puede hacer con lo que das aquí?",
        "terms": "Todas las condiciones",
        "again": "Ya elegiste esto aquí. Puedes elegir de nuevo.",
        "kept": "Tu elección va con lo que envías.",
        "lost": "No se pudo guardar tu elección. Inténtalo de nuevo en un momento.",
        "away": "No se pudieron cargar las opciones.",
        "choose": "Elige una de estas opciones.",
        "claim": "Ver lo que diste, cambiar las condiciones o retirarlo",
        "keep": "Guarda este enlace. Es solo para ti.",
        "send": "Guardar mi elección",
        "code": "Copia este código en el formulario:",
        "change": "Elegir de nuevo",
    },
    "ar": {
        "ask": "ما الذي يجوز فعله بما تقدمه هنا؟",
        "terms": "كل الشروط",
        "again": "اخترت هذا هنا من قبل. يمكنك أن تختار مرة أخرى.",
        "kept": "يُرسل اختيارك مع ما ترسله.",
        "lost": "تعذر حفظ اختيارك. حاول مرة أخرى بعد قليل.",
        "away": "تعذر تحميل الخيارات.",
        "choose": "اختر واحدًا من هذه الخيارات.",
        "claim": "رؤية ما قدمته، أو تغيير الشروط، أو سحبه",
        "keep": "احفظ هذا الرابط. إنه لك وحدك.",
        "send": "حفظ اختياري",
        "code": "انسخ هذا الرمز إلى النموذج:",
        "change": "الاختيار من جديد",
    },
}
_RIGHT_TO_LEFT = {"ar", "arc", "ckb", "dv", "fa", "he", "ks", "nqo", "ps", "sd", "syr", "ug", "ur", "yi"}


def words_for(language: str) -> str:
    """The language whose words stand beside a wording in `language`: its own, or English."""
    base = language.split("-")[0].lower()
    return base if base in WORDS else "en"


def english_beside(spoken: str) -> dict[str, str] | None:
    """The English that stands beside these words, while no native reader has reviewed their language."""
    return None if spoken == "en" or CATALOGS[spoken].reviewed else WORDS["en"]


def direction(language: str) -> str:
    """`rtl` or `ltr`, by the language and by its script where the tag names one."""
    base, *more = language.lower().split("-")
    if any(part in ("arab", "hebr", "thaa", "nkoo", "syrc") for part in more):
        return "rtl"
    return "rtl" if base in _RIGHT_TO_LEFT and "latn" not in more and "cyrl" not in more else "ltr"
