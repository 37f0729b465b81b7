//! Prose as people send it: sentences, a year or an amount now and then, personal data every other page.

use crate::random::Random;

const ENGLISH: &[&str] = &[
    "The committee met on Tuesday to review the draft that the working group had circulated a week before.",
    "Nobody had expected the harvest to be that late, and prices rose accordingly.",
    "In 2019 the town had about 4,300 people, most of whom worked in the quarry or at the railway.",
    "Please summarise the following report in three paragraphs and keep the tone neutral.",
    "She closed the book, looked out of the window, and said that it was time to leave.",
    "A model that is trained on one language may still learn something of another, if their scripts are shared.",
    "The first half-time report was well-known to the long-term members of the board.",
    "It is widely held that the theory explains the observations; it is less clear that it predicts anything new.",
    "Costs fell by 12.5% while output grew by a third, which the authors explain by better scheduling.",
    "Write a short story about a lighthouse keeper who finds a letter in a bottle.",
    "The function returns the list of keys in the order in which they were inserted.",
    "Most of the delay comes from the queue, not from the work itself.",
];

const KOREAN: &[&str] = &[
    "위원회는 화요일에 모여 실무반이 한 주 전에 돌린 초안을 검토하였고, 몇 가지 의견을 덧붙였다.",
    "수확이 그렇게 늦어질 줄은 아무도 몰랐으며, 그에 따라 가격도 크게 올랐다.",
    "2019년에 그 마을에는 사람이 약 4,300명 살았고, 대부분은 채석장이나 철도에서 일했다.",
    "다음 보고서를 세 문단으로 요약하고 말투는 중립적으로 유지해 주세요.",
    "그는 책을 덮고 창밖을 바라보며 이제 떠날 때가 되었다고 말했다.",
    "한 언어로 학습한 모형이라도 글자를 함께 쓰는 다른 언어에 대해 무언가를 배울 수 있다.",
    "이론이 관찰을 설명한다는 데에는 이견이 없지만, 새로운 것을 예측하는지는 분명하지 않다.",
    "비용은 12.5% 줄고 산출은 삼분의 일 늘었는데, 저자들은 일정을 잘 짠 덕분이라고 본다.",
    "등대지기가 병 속에서 편지를 발견하는 짧은 이야기를 써 줘.",
    "이 함수는 넣은 차례대로 열쇠의 목록을 돌려준다.",
    "지연의 대부분은 일 자체가 아니라 기다리는 줄에서 생긴다.",
    "오늘 오후에는 구름이 많다가 밤부터 비가 오는 곳이 있겠습니다.",
];

const ENGLISH_HITS: &[&str] = &[
    "You can reach me at (202) 555-0164 or kim.ex@example.com.",
    "My SSN is 739-49-9750 and the card is 4000-0051-6835-7888.",
    "The key sk-EXAMPLEn4yyFDP2PixSSGAEn8C3F6JUHpF9O7H1JVMFcd was leaked.",
];

const KOREAN_HITS: &[&str] = &[
    "제 전화번호는 010-0842-5316이고 메일은 kim.ex@example.com입니다.",
    "주민등록번호 140920-1226637, 계좌는 국민은행 200230-04-240385입니다.",
    "서울특별시 강남구 예시로 12, 101동 202호로 보내 주세요.",
];

/// English prose of at least `length` bytes.
pub fn english(length: usize) -> String {
    text(length, ENGLISH, ENGLISH_HITS)
}

/// Korean prose of at least `length` bytes.
pub fn korean(length: usize) -> String {
    text(length, KOREAN, KOREAN_HITS)
}

fn text(length: usize, sentences: &[&str], hits: &[&str]) -> String {
    let mut random = Random(7);
    let mut text = String::with_capacity(length + 256);
    while text.len() < length {
        // Once in about four thousand characters.
        let from = if random.below(40) == 0 {
            hits
        } else {
            sentences
        };
        let sentence: &&str = random.pick(from);
        text.push_str(sentence);
        text.push(if random.below(6) == 0 { '\n' } else { ' ' });
    }
    text
}
