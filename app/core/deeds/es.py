"""The deed in Spanish. No native reader has reviewed it yet, so the English is shown beside it."""

from collections.abc import Sequence

from app.core.deeds.catalog import Catalog

_MONTHS = " enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre"


def _or(phrases: Sequence[str]) -> str:
    last = phrases[-1].lower()
    return _joined(phrases, "u" if last.startswith(("o", "ho")) else "o")


def _and(phrases: Sequence[str]) -> str:
    last = phrases[-1].lower()
    return _joined(phrases, "e" if last.startswith(("i", "hi")) and not last.startswith("hie") else "y")


def _joined(phrases: Sequence[str], last: str) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} {last} {phrases[-1]}"


CATALOG = Catalog(
    reviewed=False,
    heading="En español",
    nothing="Nadie más puede recibir ni usar lo que diste.",
    permission="Los laboratorios pueden usar {parts} {action}.",
    prohibition="Los laboratorios no deben usar {parts} {action}.",
    everything="lo que diste",
    parts={
        "text": "tus palabras",
        "judgment": "tus votos",
        "context": "lo que dijeron los modelos",
        "profile": "datos sobre ti",
    },
    actions={
        "train": "para entrenar modelos",
        "trainGenerative": "para entrenar modelos que escriben o crean cosas",
        "pretrain": "para crear modelos nuevos desde cero",
        "fineTune": "para afinar modelos",
        "preferenceTune": "para afinar modelos según lo que gusta a la gente",
        "rewardModel": "para entrenar un modelo que puntúa a otros modelos",
        "trainNonGenerative": "para entrenar modelos que clasifican o puntúan cosas",
        "evaluate": "para probar modelos",
        "benchmark": "para ver lo buenos que son los modelos",
        "leaderboardDisplay": "para mostrar en qué puesto queda cada modelo",
        "safetyRedTeam": "para averiguar cómo hacen daño los modelos",
        "augment": "para ayudar a un modelo a buscar cosas",
        "ground": "para respaldar lo que dice un modelo",
        "index": "para construir un buscador",
        "derive": "para hacer datos nuevos a partir de ello",
        "synthesise": "para inventar datos nuevos parecidos",
        "distil": "para que un modelo enseñe a otro",
        "distribute": "para pasarlo a otros",
        "publishDataset": "para publicarlo junto con otros datos",
        "shareOnward": "para compartirlo con quienes trabajan con ellos",
        "linkWithinRelease": "para ver qué partes vienen de la misma persona",
        "reIdentify": "para averiguar quién eres",
    },
    purposes={
        "dpv:ResearchAndDevelopment": "investigación",
        "dpv:ScientificResearch": "la ciencia",
        "dpv:AcademicResearch": "investigación en universidades",
        "dpv:CommercialPurpose": "el negocio",
        "dpv:CommercialResearch": "investigación para el negocio",
        "dpv:NonCommercialPurpose": "trabajo sin ánimo de lucro",
        "dpv:NonCommercialResearch": "investigación sin ánimo de lucro",
        "dpv:PublicBenefit": "el bien de todos",
        "dpv:ProtectionOfNationalSecurity": "la seguridad de un Estado",
        "dpv:EnforceSecurity": "mantener la seguridad",
        "dpv:MisusePreventionAndDetection": "impedir abusos",
        "dpv:ServiceManagement": "gestionar un servicio",
        "dpv:ServiceProvision": "ofrecer un servicio",
        "dpv:ServiceOptimisation": "hacer que un servicio funcione bien",
        "dpv:ImproveExistingProductsAndServices": "mejorar sus productos",
        "dpv:Marketing": "ventas y publicidad",
    },
    recipients={
        "academic": "universidades y centros de estudio",
        "company": "empresas",
        "government": "organismos del Estado",
        "nonprofit": "grupos sin ánimo de lucro",
    },
    openness={
        "openWeights": "todos puedan descargar",
        "osaid": "sea de código abierto",
        "mof1": "sea abierto en todas sus partes",
        "mof2": "sea abierto junto con sus herramientas",
        "closed": "se mantenga cerrado",
    },
    permitted_if={
        ("recipient", "isAnyOf"): "Solo pueden hacerlo estos: {0}.",
        ("purpose", "isAnyOf"): "Esto es solo para {0}.",
        ("modelOpenness", "isAnyOf"): "El modelo debe ser uno que {0}.",
        ("spatial", "isAnyOf"): "Deben tener su sede aquí: {0}.",
        ("processingPlace", "isAnyOf"): "Deben trabajar con ello aquí: {0}.",
        ("storagePlace", "isAnyOf"): "Deben guardarlo aquí: {0}.",
        ("dateTime", "gteq"): "Pueden empezar el {0}.",
        ("dateTime", "lt"): "Deben parar antes del {0}.",
        ("delayPeriod", "gteq"): "Deben esperar hasta {0} días después de que lo dieras.",
        ("delayPeriod", "lt"): "Pueden hacerlo durante {0} días después de que lo dieras, y no más.",
        ("ethicsReview", "eq"): "Un comité de ética debe haber dicho que sí.",
        ("attestation", "eq"): "Pueden hacerlo solo si tú nos dijiste que sí.",
        ("groupSize", "gteq"): "Lo reciben solo junto con lo de {0} personas o más.",
    },
    prohibited_if={
        ("recipient", "isAnyOf"): "Esta regla es para {0}.",
        ("purpose", "isAnyOf"): "Esta regla vale cuando es para {0}.",
        ("modelOpenness", "isAnyOf"): "Esta regla es para un modelo que {0}.",
        ("spatial", "isAnyOf"): "Esta regla es para laboratorios con sede aquí: {0}.",
        ("processingPlace", "isAnyOf"): "Esta regla es para el trabajo con ello aquí: {0}.",
        ("storagePlace", "isAnyOf"): "Esta regla es para guardarlo aquí: {0}.",
        ("dateTime", "gteq"): "Esta regla empieza el {0}.",
        ("dateTime", "lt"): "Esta regla termina antes del {0}.",
    },
    more="También cuentan estos: {0}.",
    attribution={
        "named": "Los laboratorios deben darte crédito con tu nombre.",
        "pseudonym": "Los laboratorios deben dar crédito al nombre que elegiste.",
        "collective": "Los laboratorios deben dar crédito a tu grupo y no a ti.",
        "anonymous": "Los laboratorios no deben nombrarte.",
    },
    duties={
        ("compensate", ""): "Los laboratorios deben pagar {amount} {currency} o más por cada {per}.",
        ("delete", "withdrawal"): "Si lo retiras, los laboratorios deben borrarlo en {days} días.",
        ("delete", "release"): "Los laboratorios deben borrarlo en los {days} días después de recibirlo.",
        ("inform", ""): "Los laboratorios deben avisarnos cuando publiquen lo que hicieron con ello.",
        ("inform", "breach"): "Si se filtra, los laboratorios deben avisarnos enseguida.",
        ("keepDissent", ""): "Los laboratorios deben guardar junto a ello lo que se dijo en contra.",
        ("keepThread", ""): "Los laboratorios deben mantener entera la conversación de la que forma parte.",
        ("reportBack", ""): "Los laboratorios deben decirnos cada {days} días qué hicieron con ello.",
        ("shareAlike", ""): "Quienes lo pasen a otros deben pedir las mismas condiciones.",
    },
    per={"record": "cosa que diste", "release": "vez que lo reciben", "year": "año que lo tienen"},
    uses={
        "train": "Entrenar modelos",
        "trainGenerative": "Entrenar modelos que escriben o crean cosas",
        "pretrain": "Crear modelos nuevos desde cero",
        "fineTune": "Afinar modelos",
        "preferenceTune": "Afinar modelos según lo que gusta a la gente",
        "rewardModel": "Entrenar un modelo que puntúa a otros modelos",
        "trainNonGenerative": "Entrenar modelos que clasifican o puntúan cosas",
        "evaluate": "Probar modelos",
        "benchmark": "Ver lo buenos que son los modelos",
        "leaderboardDisplay": "Mostrar en qué puesto queda cada modelo",
        "safetyRedTeam": "Averiguar cómo hacen daño los modelos",
        "augment": "Ayudar a un modelo a buscar cosas",
        "ground": "Respaldar lo que dice un modelo",
        "index": "Construir un buscador",
        "derive": "Hacer datos nuevos a partir de ello",
        "synthesise": "Inventar datos nuevos parecidos",
        "distil": "Hacer que un modelo enseñe a otro",
        "distribute": "Pasarlo a otros",
        "publishDataset": "Publicarlo junto con otros datos",
        "shareOnward": "Compartirlo con quienes trabajan con ellos",
        "linkWithinRelease": "Ver qué partes vienen de la misma persona",
        "reIdentify": "Averiguar quién eres",
    },
    answers={"yes": "sí", "conditions": "sí, con estas condiciones", "no": "no"},
    compared={
        "same": "Las dos permiten lo mismo.",
        "narrower": "La segunda no permite más que la primera.",
        "wider": "La segunda permite todo lo que permite la primera.",
        "neither": "Cada una puede permitir lo que la otra no permite.",
    },
    join=_or,
    join_and=_and,
    day=lambda day: f"{day.day} de {_MONTHS.split(' ')[day.month]} de {day.year}",
)
