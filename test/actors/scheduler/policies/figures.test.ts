import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { figures, withTables } from '../../../../bench/scheduling/figures.ts'

const docs = new URL('../../../../docs/', import.meta.url)
const read = (name: string): string => readFileSync(new URL(name, docs), 'utf8')

test('the figures and numbers of docs/scheduling.md are what the policies do; `npm run figures` draws them', () => {
  const { files, tables } = figures()
  const page = read('scheduling.md')
  expect(withTables(page, tables)).toBe(page)
  expect(readdirSync(new URL('figures/', docs)).sort()).toEqual([...files.keys()].sort())
  for (const [name, svg] of files) {
    expect(read(`figures/${name}`), name).toBe(svg)
    expect(page).toContain(`(figures/${name})`)
  }
  for (const name of tables.keys()) expect(page).toContain(`<!-- ${name} -->`)
})
