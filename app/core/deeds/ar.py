"""The deed in Arabic (Modern Standard). No native reader has reviewed it yet, so the English is shown beside it.

A number stands before "of the days": that fits every number, where the noun alone would have six forms.
"""

from collections.abc import Sequence

from app.core.deeds.catalog import Catalog

_MONTHS = " يناير فبراير مارس أبريل مايو يونيو يوليو أغسطس سبتمبر أكتوبر نوفمبر ديسمبر"


def _or(phrases: Sequence[str]) -> str:
    return " أو ".join(phrases)


def _and(phrases: Sequence[str]) -> str:
    # "And" is written as one with the word that follows.
    return " و".join(phrases)


CATALOG = Catalog(
    reviewed=False,
    direction="rtl",
    heading="بكلام بسيط",
    nothing="لا يجوز لأحد جديد أن يحصل على ما قدمته أو يستخدمه.",
    permission="يجوز للمختبرات استخدام {parts} {action}.",
    prohibition="لا يجوز للمختبرات استخدام {parts} {action}.",
    everything="ما قدمته",
    parts={
        "text": "كلماتك",
        "judgment": "تصويتاتك",
        "context": "ما قالته النماذج",
        "profile": "معلومات عنك",
    },
    actions={
        "train": "لتدريب النماذج",
        "trainGenerative": "لتدريب نماذج تكتب أو تصنع أشياء",
        "pretrain": "لبناء نماذج جديدة من البداية",
        "fineTune": "لضبط النماذج",
        "preferenceTune": "لضبط النماذج على ما يفضله الناس",
        "rewardModel": "لتدريب نموذج يعطي النماذج درجات",
        "trainNonGenerative": "لتدريب نماذج تصنّف الأشياء أو تعطيها درجات",
        "evaluate": "لاختبار النماذج",
        "benchmark": "لمعرفة مدى جودة النماذج",
        "leaderboardDisplay": "لعرض ترتيب النماذج",
        "safetyRedTeam": "لمعرفة كيف تضر النماذج",
        "augment": "لمساعدة نموذج على البحث عن الأشياء",
        "ground": "لدعم ما يقوله نموذج",
        "index": "لبناء أداة بحث",
        "derive": "لصنع بيانات جديدة منه",
        "synthesise": "لاختلاق بيانات جديدة تشبهه",
        "distil": "ليعلّم نموذج نموذجًا آخر",
        "distribute": "لتمريره إلى غيرها",
        "publishDataset": "لنشره مع بيانات أخرى",
        "shareOnward": "لمشاركته مع من تعمل معهم",
        "linkWithinRelease": "لمعرفة ما جاء من شخص واحد",
        "reIdentify": "لمعرفة من أنت",
    },
    purposes={
        "dpv:ResearchAndDevelopment": "البحث",
        "dpv:ScientificResearch": "العلم",
        "dpv:AcademicResearch": "البحث في الجامعات",
        "dpv:CommercialPurpose": "التجارة",
        "dpv:CommercialResearch": "البحث لأجل التجارة",
        "dpv:NonCommercialPurpose": "عمل لا يهدف إلى الربح",
        "dpv:NonCommercialResearch": "بحث لا يهدف إلى الربح",
        "dpv:PublicBenefit": "نفع الجميع",
        "dpv:ProtectionOfNationalSecurity": "أمن دولة",
        "dpv:EnforceSecurity": "الحفاظ على السلامة",
        "dpv:MisusePreventionAndDetection": "منع سوء الاستخدام",
        "dpv:ServiceManagement": "إدارة خدمة",
        "dpv:ServiceProvision": "تقديم خدمة",
        "dpv:ServiceOptimisation": "جعل خدمة تعمل جيدًا",
        "dpv:ImproveExistingProductsAndServices": "تحسين منتجاتها",
        "dpv:Marketing": "البيع والإعلان",
    },
    recipients={
        "academic": "الجامعات ومراكز الدراسة",
        "company": "الشركات",
        "government": "جهات الدولة",
        "nonprofit": "المجموعات التي لا تهدف إلى الربح",
    },
    openness={
        "openWeights": "يستطيع الجميع تنزيله",
        "osaid": "مصدره مفتوح",
        "mof1": "كل جزء منه مفتوح",
        "mof2": "هو مفتوح مع أدواته",
        "closed": "يبقى مغلقًا",
    },
    permitted_if={
        ("recipient", "isAnyOf"): "لا يجوز هذا إلا لهؤلاء: {0}.",
        ("purpose", "isAnyOf"): "هذا فقط لأجل {0}.",
        ("modelOpenness", "isAnyOf"): "يجب أن يكون النموذج واحدًا {0}.",
        ("spatial", "isAnyOf"): "يجب أن يكون مقرها هنا: {0}.",
        ("processingPlace", "isAnyOf"): "يجب أن تعمل عليه هنا: {0}.",
        ("storagePlace", "isAnyOf"): "يجب أن تحفظه هنا: {0}.",
        ("dateTime", "gteq"): "يجوز لها أن تبدأ في {0}.",
        ("dateTime", "lt"): "يجب أن تتوقف قبل {0}.",
        ("delayPeriod", "gteq"): "يجب أن تنتظر حتى تمر {0} من الأيام بعد تقديمه.",
        ("delayPeriod", "lt"): "يجوز لها ذلك مدة {0} من الأيام بعد تقديمه، لا أكثر.",
        ("ethicsReview", "eq"): "يجب أن توافق لجنة تحمي الناس.",
        ("attestation", "eq"): "لا يجوز لها ذلك إلا إذا قلت لنا نعم بنفسك.",
        ("groupSize", "gteq"): "لا تحصل عليه إلا مع ما قدمه {0} من الأشخاص أو أكثر.",
    },
    prohibited_if={
        ("recipient", "isAnyOf"): "هذه القاعدة تخص {0}.",
        ("purpose", "isAnyOf"): "تسري هذه القاعدة حين يكون ذلك لأجل {0}.",
        ("modelOpenness", "isAnyOf"): "هذه القاعدة لنموذج {0}.",
        ("spatial", "isAnyOf"): "هذه القاعدة لمختبرات مقرها هنا: {0}.",
        ("processingPlace", "isAnyOf"): "هذه القاعدة للعمل عليه هنا: {0}.",
        ("storagePlace", "isAnyOf"): "هذه القاعدة لحفظه هنا: {0}.",
        ("dateTime", "gteq"): "تبدأ هذه القاعدة في {0}.",
        ("dateTime", "lt"): "تنتهي هذه القاعدة قبل {0}.",
    },
    more="وهذه أيضًا تُحسب: {0}.",
    attribution={
        "named": "يجب على المختبرات أن تذكرك باسمك.",
        "pseudonym": "يجب على المختبرات أن تذكر الاسم الذي اخترته.",
        "collective": "يجب على المختبرات أن تذكر مجموعتك لا أنت.",
        "anonymous": "يجب على المختبرات ألا تذكر اسمك.",
    },
    duties={
        ("compensate", ""): "يجب على المختبرات أن تدفع {amount} {currency} أو أكثر عن كل {per}.",
        ("delete", "withdrawal"): "إذا سحبته، وجب على المختبرات حذفه خلال {days} من الأيام.",
        ("delete", "release"): "يجب على المختبرات حذفه خلال {days} من الأيام بعد حصولها عليه.",
        ("inform", ""): "يجب على المختبرات أن تخبرنا حين تنشر ما صنعته منه.",
        ("inform", "breach"): "إذا تسرّب، وجب على المختبرات أن تخبرنا فورًا.",
        ("keepDissent", ""): "يجب على المختبرات أن تحفظ معه ما قيل ضده.",
        ("keepThread", ""): "يجب على المختبرات أن تحفظ المحادثة التي هو جزء منها كاملة.",
        ("reportBack", ""): "يجب على المختبرات أن تخبرنا بما فعلته به كل {days} من الأيام.",
        ("shareAlike", ""): "يجب على من يمرره إلى غيره أن يطلب الشروط نفسها.",
    },
    per={"record": "شيء قدمته على حدة", "release": "مرة تحصل فيها عليه", "year": "سنة تحتفظ به فيها"},
    uses={
        "train": "تدريب النماذج",
        "trainGenerative": "تدريب نماذج تكتب أو تصنع أشياء",
        "pretrain": "بناء نماذج جديدة من البداية",
        "fineTune": "ضبط النماذج",
        "preferenceTune": "ضبط النماذج على ما يفضله الناس",
        "rewardModel": "تدريب نموذج يعطي النماذج درجات",
        "trainNonGenerative": "تدريب نماذج تصنّف الأشياء أو تعطيها درجات",
        "evaluate": "اختبار النماذج",
        "benchmark": "معرفة مدى جودة النماذج",
        "leaderboardDisplay": "عرض ترتيب النماذج",
        "safetyRedTeam": "معرفة كيف تضر النماذج",
        "augment": "مساعدة نموذج على البحث عن الأشياء",
        "ground": "دعم ما يقوله نموذج",
        "index": "بناء أداة بحث",
        "derive": "صنع بيانات جديدة منه",
        "synthesise": "اختلاق بيانات جديدة تشبهه",
        "distil": "أن يعلّم نموذج نموذجًا آخر",
        "distribute": "تمريره إلى آخرين",
        "publishDataset": "نشره مع بيانات أخرى",
        "shareOnward": "مشاركته مع من تعمل معهم",
        "linkWithinRelease": "معرفة ما جاء من شخص واحد",
        "reIdentify": "معرفة من أنت",
    },
    answers={"yes": "نعم", "conditions": "نعم، بهذه الشروط", "no": "لا"},
    compared={
        "same": "كلتاهما تسمحان بالشيء نفسه.",
        "narrower": "لا تسمح الثانية بأكثر مما تسمح به الأولى.",
        "wider": "تسمح الثانية بكل ما تسمح به الأولى.",
        "neither": "قد تسمح كل منهما بما لا تسمح به الأخرى.",
    },
    join=_or,
    join_and=_and,
    day=lambda day: f"{day.day} {_MONTHS.split(' ')[day.month]} {day.year}",
)
