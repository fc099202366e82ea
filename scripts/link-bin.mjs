// Makes `npx troupe` work in a clone: npm links the commands of dependencies, but not the package's own.
import { existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs'

const folder = new URL('../node_modules/.bin/', import.meta.url)
const source = new URL('../src/', import.meta.url)

if (existsSync(source)) {
  mkdirSync(folder, { recursive: true })
  const link = new URL('troupe', folder)
  rmSync(link, { force: true })
  symlinkSync('../../bin/troupe.mjs', link)
}
