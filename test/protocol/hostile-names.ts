/**
 * Texts that somebody may give as a name in order to reach another subject, or to break what carries it: by class, so that
 * each is known for what it tries. The same ones in every run.
 */

const alphabetEnds = ['a', 'ab', 'x-1']

/** Each of the characters before, between and after what would be a name. */
function around(characters: readonly string[]): string[] {
  return characters.flatMap((one) =>
    alphabetEnds.flatMap((name) => [`${one}${name}`, `${name}${one}`, `${name}${one}${name}`]),
  )
}

const codes = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => String.fromCodePoint(from + i))

/** At least five hundred, none of which is a name. */
export const hostileNames: Readonly<Record<string, readonly string[]>> = {
  empty: ['', ' ', '  ', '\t', '\n', '\0'],
  'tokens of their own': ['.', '..', '...', 'a.b', '.a', 'a.', 'a..b', 'a.b.c.d.e.f', ...around(['.'])],
  wildcards: ['*', '>', '*.*', '*.>', 'a.*', 'a.>', '*a', 'a>', '>.a', ...around(['*', '>'])],
  'subjects of the server': [
    ...['$SYS', '$JS', '$KV', '$O', '$SRV', '$G', '_INBOX.a', '$SYS.REQ.SERVER.PING', '$JS.ACK.x.y.1.1.1.1.0'],
    ...['STREAM.DELETE', 'STREAM.PURGE', 'STREAM.UPDATE', 'CONSUMER.CREATE'].map(
      (what) => `$JS.API.${what}.TROUPE_main_LOG_0`,
    ),
    ...around(['$']),
  ],
  'subjects of Troupe': [
    ...[
      'journal.0.node-1.x',
      'control.0.x',
      'heartbeat.node-1.x',
      'node.node-1.x',
      'tell.c1',
      'leading.scheduler',
    ].flatMap((family) => [`troupe.main.${family}`, `../${family}`, `x.${family}`, family]),
  ],
  'line breaks and commands': [
    ...['\r\n', '\n', '\r', '\u2028', '\u2029', '\x85'].flatMap((end) => [
      `a${end}PUB troupe.main.control.0.x 0${end}${end}`,
      `a${end}SUB > 1${end}`,
      `a${end}Nats-Msg-Id: x`,
      `a${end}Nats-Rollup: all`,
      `${end}a`,
      `a${end}`,
    ]),
  ],
  'spaces of every kind': around([
    '\u00a0',
    '\u1680',
    '\u2000',
    '\u2003',
    '\u2009',
    '\u202f',
    '\u205f',
    '\u3000',
    '\ufeff',
    '\u200b',
  ]),
  'control characters': around([...codes(0x00, 0x1f), '\x7f', ...codes(0x80, 0x84)]),
  'directions and marks': around([
    '\u202e',
    '\u202d',
    '\u2066',
    '\u2069',
    '\u200d',
    '\u200e',
    '\u0301',
    '\u00ad',
    '\u034f',
  ]),
  'letters that look alike': [
    'аdmin',
    'ａdmin',
    'ﬁle',
    'ı',
    'İ',
    '\u212a',
    'ѕубmit',
    'nоde-1',
    'ⅰ',
    '٣',
    '𝟙',
    '𝐚',
    'ß',
    'é',
    'e\u0301',
  ],
  'dots that look alike': around(['\u2024', '．', '。', '·', '\u2027', '｡', '＊', '＞', '›', '∗']),
  'halves of characters': ['\ud800', '\udfff', 'a\ud83d', '\ude00a', '\ud800\ud800', 'a\udc00b'],
  'emoji and beyond': ['😀', 'a😀', '👩‍👩‍👧', '\u{10ffff}', '\u{e0041}', '🇦🇹', '\ufffd', '\ufffe', '\uffff'],
  'paths and URLs': [
    '../../etc/passwd',
    'a/b',
    '/a',
    'a\\b',
    'C:\\x',
    'http://x',
    '//x',
    './a',
    '~',
    '~root',
    'file:///a',
  ],
  escapes: [
    '%2e',
    '%2E%2A',
    'a%00',
    '\\u002e',
    '\\x2e',
    '&#46;',
    '%c0%ae',
    '\x1b[2J',
    '\x1b]0;x\x07',
    '=?utf-8?q?=2E?=',
  ],
  'quotes and commands': [...`'"\`;|&,#?!+~^()[]{}<\\/`].flatMap((one) => [`a${one}b`, one]),
  templates: ["';drop table x;--", '$' + '{x}', '{{x}}', '<%= x %>', '$(x)', '`x`', '<script>', '%s%n', '{0}', '#{x}'],
  'too long': [129, 200, 1_000, 4_096, 65_536].flatMap((length) => ['a', '-', '='].map((one) => one.repeat(length))),
}
