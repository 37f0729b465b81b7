//! The words beside a number that say what it is.

/// What a word says about the number beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    Rrn,
    Frn,
    Passport,
    License,
    Brn,
    Crn,
    Phone,
    Card,
    Bank,
    Ssn,
    Plate,
    Ip,
    Address,
    /// The number is of something else: an order, a parcel, a part, a version.
    Thing,
    /// Says nothing, though a word within it would: 주문자 (who ordered) is no order.
    Neutral,
}

/// Topics that count for or against a number.
pub const TOPICS: usize = Topic::Thing as usize + 1;

/// Some topics, a bit for each.
#[derive(Clone, Copy, Debug, Default)]
pub struct Topics(u32);

impl Topics {
    /// None of them.
    pub const NONE: Self = Self(0);

    pub const fn of<const N: usize>(topics: [Topic; N]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < N {
            bits |= 1 << topics[at] as u32;
            at += 1;
        }
        Self(bits)
    }

    pub fn insert(&mut self, topic: Topic) {
        self.0 |= 1 << topic as u32;
    }

    /// Whether any of them is one of `others`.
    pub fn has_any(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }
}

/// The words of each topic, with bars between. ASCII words are found in any case, only as whole words, and also with `_`,
/// `-` or nothing in place of a space.
pub const WORDS: &[(Topic, &str)] = &[
    (
        Topic::Rrn,
        "주민등록|주민등록번호|주 민 등 록|주민 등록번호|주민등록 번호|주민번호|주민 번호|주민|주등번호|실명번호|rrn|resident registration|\
         resident registration number|registration of residents|resident number|resident no|resident id|\
         national id|national identification|jumin|jumin no|ssn kr|민증|민증번호|주민등록증|korean id|citizen number",
    ),
    (
        Topic::Frn,
        "외국인등록|외국인등록번호|외국인 등록번호|외국인 등록|등록외국인|외국인번호|외국인 번호|외국인등록증|외등번호|외등|체류|체류자격|거소신고|거소신고번호|거소증|외국인|frn|arc|\
         alien registration|alien registration number|alien registration no|foreign registration|\
         foreigner registration|foreigner registration number|foreign resident|residence card|\
         alien number",
    ),
    (
        Topic::Passport,
        "여권|여권번호|여권 번호|passport|passports|passport no|passport number|pp no|pp#|travel document|travel document no",
    ),
    (
        Topic::License,
        "운전면허|운전면허번호|운전면허 번호|운전면허증|면허번호|면허 번호|면허증|면허|운전자격|driver's license|driver’s license|\
         drivers license|driver license|driver's licence|driver licence|driving licence|driving license|\
         licence|license|driving permit|licence number|license number|licence no|license no|driver license no|dl|dl no|dl number",
    ),
    (
        Topic::Brn,
        "사업자|사업자번호|사업자등록번호|사업자 등록번호|사업자등록|사업자 번호|사업자등록증|고유번호증|등록업체|세금계산서|business registration|\
         business registration number|business number|business reg|business no|biz no|biz reg|brn|\
         company registration|tax registration|vat number|tax invoice",
    ),
    (
        Topic::Crn,
        "법인|법인번호|법인등록번호|법인 등록번호|법인등록|법인 번호|등기부|법인등기|corporate registration|corporate registration number|\
         corporation number|corporate number|corporation registration|incorporation number|crn|\
         corporate reg|corporation reg|corp reg|corp no|corp reg no|corp number",
    ),
    (
        Topic::Phone,
        "전화|전 화|전화번호|전화 번호|휴대폰|휴대폰번호|핸드폰|핸드폰번호|휴대전화|휴대전화번호|휴대번호|휴 대 폰|폰번호|연락처|연 락 처|연락|연락번호|연락주세요|문자|통화|팩스|팩스번호|카톡|모바일|발신|\
         발신번호|수신번호|발신자|부재중|전번|폰|콜백|회신번호|안심번호|phone|phones|phone number|telephone|tel|mobile|cell|\
         cellphone|call|calls|called|calling|text|texted|sms|fax|contact|whatsapp|dial|reach|ring|hp|\
         mobile no|voicemail",
    ),
    (
        Topic::Card,
        "카드|카드번호|카드 번호|신용카드|체크카드|법인카드|직불카드|결제|결제수단|유효기간|비자|마스터카드|card|cards|card number|credit card|\
         debit card|card no|visa|mastercard|amex|american express|credit|debit|payment|\
         charge|charged|cvc|cvv",
    ),
    (
        Topic::Bank,
        "계좌|계 좌|계좌번호|계좌 번호|은행|뱅크|입금|송금|이체|예금|예금주|통장|통장번호|입금계좌|환불계좌|국민은행|신한은행|우리은행|하나은행|농협|농협은행|기업은행|카카오뱅크|카뱅|\
         토스|토스뱅크|케이뱅크|우체국|새마을금고|신협|수협|산업은행|제일은행|씨티은행|부산은행|대구은행|광주은행|전북은행|경남은행|제주은행|아이엠뱅크|저축은행|신한|국민|가상계좌|\
         account|account number|account no|bank account|acct|a/c|bank|deposit|wire|remit|\
         remittance|transfer|iban|kb|ibk|nh|kakaobank|toss|toss bank|k bank",
    ),
    (
        Topic::Ssn,
        "ssn|social security|social security number|social security no|social sec|ss#|ssn#|w-2|tin|\
         taxpayer|taxpayer id|사회보장번호|사회보장",
    ),
    (
        Topic::Plate,
        "차량|차량번호|차량 번호|차번호|차 번호|번호판|주차|차주|자동차|자동차등록번호|자동차번호|승용차|승합차|화물차|트럭|택시|렌터카|렌트카|견인|과속|입차|출차|접촉사고|\
         운전자|내 차|제 차|이중주차|car|vehicle|plate|license plate|licence plate|plate number|parked|parking|truck|\
         taxi|van|plates",
    ),
    (
        Topic::Ip,
        "접속 ip|접속ip|사용자 ip|고객 ip|회원 ip|가입 ip|로그인 ip|접속지|접속 기록|접속 주소|작성자 ip|이용자 ip|ip 주소|ip주소|아이피|\
         client ip|user ip|visitor ip|customer ip|subscriber ip|home ip|his ip|\
         her ip|my ip|their ip|logged in from|signed in from|login from|remote addr|x-forwarded-for|\
         x-real-ip|ip address of|remote ip",
    ),
    (
        Topic::Address,
        "주소|주 소|주소지|배송지|거주|거주지|자택|본적|수령지|살고|사는|이사|댁|address|addresses|lives at|live at|living at|lived at|\
         ship to|shipping|deliver to|delivery|mail to|mailing|resides at|residing at|residence|home|\
         billing|moved to",
    ),
    (
        Topic::Thing,
        "주문|주문번호|운송장|송장|송장번호|택배|예약|예약번호|바코드|허가|허가번호|관리번호|인증번호|부품|부품번호|품번|특허|특허번호|출원|출원번호|의안|의안번호|법률|판결|선고|\
         대법원|고등법원|지방법원|헌법재판소|사건|사건번호|버전|펌웨어|빌드|릴리스|일련번호|시리얼|문서|문서번호|접수번호|모델|모델명|재고|상품번호|상품코드|제품번호|제품코드|제품|\
         티켓|승인번호|거래번호|조회번호|수험번호|학번|사번|좌표|위도|경도|타임스탬프|타임스탬프는|유닉스|단말|단말기|기기|총액|금액|합계|매출|예산|공고|고시|조달|입찰|증권번호|\
         도서|책|로트|자재|규격|형식승인|승인|인증서|등기번호|등기우편|우체국 등기|등기 우편|반송|추첨|로또|당첨|고유번호|민원|지번코드|논문|실험|시료|측정|표준|조항|해시|커밋|체크섬|에러|오류코드|오류|\
         시각|밀리초|초과분|배치|영수증번호|발주|발주번호|선적|컨테이너|신고번호|수리번호|자격번호|자격증|등록특허|디자인등록|상표|상표등록|국가표준|과제번호|게시글|보고서번호|\
         order|orders|order id|order no|order number|tracking|tracking number|\
         tracking no|waybill|awb|parcel|shipment|invoice|ticket|isbn|issn|doi|ean|upc|gtin|barcode|imei|\
         imsi|iccid|sku|part|part no|part number|serial|serial number|serial no|version|ver|build|release|\
         firmware|commit|hash|sha|sha1|sha256|md5|uuid|guid|checksum|timestamp|unix|epoch|ts|created|\
         created at|updated at|patent|permit|lot|batch|model|docket|statute|rma|reference|ref|booking|\
         reservation|confirmation|coordinates|coordinate|lat|lon|latitude|longitude|pr|issue|bug|revision|\
         rev|port|offset|seed|error|errno|code|product|product code|item|item no|asset|asset tag|\
         container|flight|equation|const|chapter|figure|approval|certificate|certification|\
         registration of trademark|trademark|standard|iso|rfc|catalog|voucher|coupon|lottery|sample|\
         specimen|total|amount|price|population|inventory|stock|warehouse",
    ),
    (
        Topic::Neutral,
        "주문자|주문인|예약자|접수자|접수처|구매자|번호는|등록번호|주문하신|계약자|신청번호는|제 번호|내 번호|본인 번호|고객님 번호|직통번호|대표번호|출입국|은행나무|국민건강|\
         국민연금|신한국|텍스트|차량용|체류 기간",
    ),
];
