/** Small charts as SVG text: lines over a linear or logarithmic axis, and bars in groups. No fonts, scripts or colours of a theme. */

export interface Line {
  readonly name: string
  readonly points: readonly (readonly [x: number, y: number])[]
}

export interface LineChart {
  readonly title: string
  readonly x: string
  readonly y: string
  readonly lines: readonly Line[]
  readonly logarithmic?: boolean
  readonly yMax?: number
}

export interface BarChart {
  readonly title: string
  readonly y: string
  readonly groups: readonly { readonly name: string; readonly values: readonly number[] }[]
  readonly series: readonly string[]
}

const width = 640
const height = 320
const left = 60
const right = 150
const top = 34
const bottom = 44
const plotWidth = width - left - right
const plotHeight = height - top - bottom
const colours = ['#4477aa', '#ee6677', '#228833', '#ccbb44', '#66ccee', '#aa3377', '#777777', '#000000']

export function lineChart({ title, x, y, lines, logarithmic = false, yMax }: LineChart): string {
  const xs = lines.flatMap(({ points }) => points.map(([at]) => at)).filter((at) => !logarithmic || at > 0)
  const least = Math.min(...xs)
  const most = Math.max(...xs)
  const highest = yMax ?? Math.max(...lines.flatMap(({ points }) => points.map(([, value]) => value)))
  const scale = (at: number) => {
    if (logarithmic) return (Math.log(Math.max(at, least)) - Math.log(least)) / (Math.log(most) - Math.log(least))
    return (at - least) / (most - least)
  }
  const place = ([at, value]: readonly [number, number]) =>
    `${round(left + scale(at) * plotWidth)},${round(top + (1 - Math.min(value, highest) / highest) * plotHeight)}`
  const marks = logarithmic ? decades(least, most) : steps(least, most)
  return frame(title, x, y, [
    ...gridX(marks, (at) => left + scale(at) * plotWidth),
    ...gridY(highest),
    ...lines.map(
      ({ points }, i) =>
        `<polyline fill="none" stroke="${colour(i)}" stroke-width="2" points="${points.map(place).join(' ')}"/>`,
    ),
    ...legend(lines.map(({ name }) => name)),
  ])
}

export function barChart({ title, y, groups, series }: BarChart): string {
  const highest = Math.max(...groups.flatMap(({ values }) => values))
  const groupWidth = plotWidth / groups.length
  const barWidth = (groupWidth * 0.8) / series.length
  const bars = groups.flatMap(({ name, values }, g) => [
    ...values.map((value, i) => {
      const tall = (value / highest) * plotHeight
      const at = left + g * groupWidth + groupWidth * 0.1 + i * barWidth
      return `<rect x="${round(at)}" y="${round(top + plotHeight - tall)}" width="${round(barWidth)}" height="${round(tall)}" fill="${colour(i)}"/>`
    }),
    text(left + (g + 0.5) * groupWidth, top + plotHeight + 14, name, 'middle', 10),
  ])
  return frame(title, '', y, [...gridY(highest), ...bars, ...(series.length > 1 ? legend(series) : [])])
}

function frame(title: string, x: string, y: string, body: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    text(left, 18, title, 'start', 13),
    ...body,
    `<path d="M${left} ${top}V${top + plotHeight}H${left + plotWidth}" fill="none" stroke="#333333"/>`,
    text(left + plotWidth / 2, height - 8, x, 'middle'),
    `<g transform="translate(14 ${top + plotHeight / 2}) rotate(-90)">${text(0, 0, y, 'middle')}</g>`,
    '</svg>',
    '',
  ].join('\n')
}

function gridX(marks: readonly number[], at: (mark: number) => number): string[] {
  return marks.flatMap((mark) => [
    `<path d="M${round(at(mark))} ${top}V${top + plotHeight}" stroke="#dddddd"/>`,
    text(at(mark), top + plotHeight + 14, shown(mark), 'middle'),
  ])
}

function gridY(highest: number): string[] {
  return steps(0, highest).flatMap((mark) => {
    const at = top + (1 - mark / highest) * plotHeight
    return [
      `<path d="M${left} ${round(at)}H${left + plotWidth}" stroke="#dddddd"/>`,
      text(left - 5, at + 4, shown(mark), 'end'),
    ]
  })
}

function legend(names: readonly string[]): string[] {
  return names.flatMap((name, i) => {
    const at = top + 8 + i * 16
    return [
      `<rect x="${left + plotWidth + 12}" y="${at - 8}" width="10" height="10" fill="${colour(i)}"/>`,
      text(left + plotWidth + 27, at + 1, name),
    ]
  })
}

function text(x: number, y: number, words: string, anchor = 'start', size = 11): string {
  const safe = words.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}" font-size="${size}" fill="#222222">${safe}</text>`
}

/** Four to eight round numbers. */
function steps(least: number, most: number): number[] {
  const raw = (most - least) / 6
  const power = 10 ** Math.floor(Math.log10(raw))
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= raw) ?? raw
  const marks: number[] = []
  for (let mark = Math.ceil(least / step) * step; mark <= most + step / 1_000; mark += step) marks.push(mark)
  return marks
}

function decades(least: number, most: number): number[] {
  const marks: number[] = []
  for (let power = Math.ceil(Math.log10(least)); power <= Math.log10(most); power++) marks.push(10 ** power)
  return marks
}

function shown(mark: number): string {
  return mark >= 10_000 ? `${round(mark / 1_000)}k` : String(Math.round(mark * 1_000) / 1_000)
}

function round(number: number): number {
  return Math.round(number * 10) / 10
}

function colour(i: number): string {
  return colours[i % colours.length]!
}
