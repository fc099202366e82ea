/** What the documents show is what the repository holds: links lead somewhere, shown code is shipped code. */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { root, run } from './harness/programs.ts'

const pages = [...globSync('*.md', { cwd: root }), ...globSync('docs/**/*.md', { cwd: root })]
const text = (file: string): string => readFileSync(join(root, file), 'utf8')

test('links between files lead to files', () => {
  const broken = pages.flatMap((page) =>
    [...text(page).matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)]
      .map(([, target]) => target!)
      .filter((target) => !existsSync(join(root, dirname(page), target)))
      .map((target) => `${page}: ${target}`),
  )
  expect(broken).toEqual([])
})

test("every page stands in the README's table", () => {
  const [, table = ''] = text('README.md').split('## Pages\n')
  const shown = pages.filter((page) => !page.startsWith('docs/adr/') && page !== 'README.md')
  expect(shown.filter((page) => !table.split('\n## ')[0]!.includes(`(${page})`))).toEqual([])
})

test('every header of a submission stands on the page about plain NATS clients', () => {
  const read = [...text('src/protocol/submission.ts').matchAll(/given\('(troupe-[a-z-]+)'\)/g)].map(([, name]) => name!)
  const page = text('docs/plain-nats.md').toLowerCase()
  expect(read.length).toBeGreaterThan(10)
  expect(read.filter((name) => !page.includes(`\`${name}\``))).toEqual([])
})

test('source files that the architecture page names exist', () => {
  const named = [...text('docs/ARCHITECTURE.md').matchAll(/`((?:src|test|examples)\/[\w./-]+)`/g)].map(
    ([, path]) => path!,
  )
  expect(named.length).toBeGreaterThan(10)
  expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([])
})

test("the README's task is the example that the tests run", () => {
  expect(text('README.md')).toContain(`\`\`\`ts\n${text('examples/hello/tasks.ts')}\`\`\``)
})

test('the programs of the page on durable tasks are the examples that the tests run', () => {
  const shown = [...text('docs/durable-tasks.md').matchAll(/```ts\n(.*?)```/gs)].map(([, block]) => block!)
  const shipped = globSync('examples/durable/*.ts', { cwd: root }).map(text)
  expect(shown.toSorted()).toEqual(shipped.toSorted())
})

test("the program of the scheduling page's section on locality is the example that the tests run", () => {
  expect(text('docs/scheduling.md')).toContain(`\`\`\`ts\n${text('examples/locality/tasks.ts')}\`\`\``)
})

test('commands and options that the documents show are those of --help', async () => {
  const { stdout: help } = await run(['bin/troupe.mjs', '--help'])
  const known = new Set([...help.matchAll(/^ {2}(\w+)/gm)].map(([, name]) => name))
  const all = pages
    .filter((page) => !page.startsWith('docs/adr/'))
    .map(text)
    .join('\n')
  const shown = [...all.matchAll(/(?:`|npx |^|exec \S+ )troupe ([a-z]+)\b/gm)].map(([, name]) => name!)
  expect([...new Set(shown)].filter((name) => !known.has(name))).toEqual([])
  const { stdout: startHelp } = await run(['bin/troupe.mjs', 'start', '--help'])
  const options = [...text('docs/operations.md').matchAll(/`(--[a-z-]+)/g)].map(([, name]) => name!)
  const { stdout: doctorHelp } = await run(['bin/troupe.mjs', 'doctor', '--help'])
  const { stdout: benchHelp } = await run(['bin/troupe.mjs', 'bench', '--help'])
  expect(options.filter((name) => !`${startHelp}${doctorHelp}${benchHelp}`.includes(name))).toEqual([])
})
