/**
 * A file system of its own, in a file, whose power can be cut: from one instant on nothing more reaches it, and what was
 * written and not synced is gone when it comes back. Needs root, loop devices, ext4 and perl (for one ioctl).
 *
 * What a real disk holds in a cache of its own, and loses with it, is not lost here.
 */
import { execFileSync } from 'node:child_process'
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs'
import { join } from 'node:path'

const bytes = 1024 * 1024 * 1024
/** EXT4_IOC_SHUTDOWN, without writing the journal: what file system tests use. */
const cut = 'open F, "<", $ARGV[0] or die $!; my $how = pack("L", 2); ioctl(F, 0x8004587D, $how) or die $!'

export class Disk {
  readonly folder: string
  private readonly image: string

  private constructor(image: string, folder: string) {
    this.image = image
    this.folder = folder
  }

  /** Throws with what is missing here. */
  static create(place: string): Disk {
    const image = join(place, 'disk.img')
    const folder = join(place, 'disk')
    mkdirSync(folder)
    closeSync(openSync(image, 'w'))
    truncateSync(image, bytes)
    run('mkfs.ext4', '-q', '-F', image)
    const disk = new Disk(image, folder)
    disk.plugIn()
    return disk
  }

  plugIn(): void {
    run('mount', '-o', 'loop', this.image, this.folder)
  }

  /** Writes two files, one of which is synced: they show afterwards that the power was really cut. */
  leaveTraces(): void {
    run('sync', '-f', this.folder)
    for (const name of ['synced', 'unsynced']) {
      const file = openSync(join(this.folder, name), 'w')
      writeSync(file, name)
      if (name === 'synced') fsyncSync(file)
      closeSync(file)
    }
  }

  cutPower(): void {
    run('perl', '-e', cut, this.folder)
  }

  unplug(): void {
    run('umount', this.folder)
  }

  /** What was synced is there, and what was not is gone. */
  get hasLostPower(): boolean {
    const [synced, unsynced] = ['synced', 'unsynced'].map((name) => join(this.folder, name))
    return readFileSync(synced!, 'utf8') === 'synced' && !(existsSync(unsynced!) && readFileSync(unsynced!).length > 0)
  }
}

function run(command: string, ...args: string[]): void {
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] })
}
