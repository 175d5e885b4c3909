// A working copy with a history of its own, pushed with the git of this machine, as a person would.

import { execFile } from 'node:child_process';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

import { administrator, instance } from './instance.js';

const run = promisify(execFile);

export class Repository {
  constructor(project) {
    this.project = project;
    this.folder = join(instance.work, project);
  }

  /** Begins a history; `from` is a folder of the source tree to start with. */
  static async begin(project, from) {
    const repository = new Repository(project);
    await mkdir(repository.folder, { recursive: true });
    if (from) await cp(join(instance.sources, from), repository.folder, { recursive: true });
    await repository.git('init', '--quiet', '--initial-branch=main');
    await repository.#introduce();
    await repository.git('remote', 'add', 'naru', remote(project));
    return repository;
  }

  /** Takes what is there already, such as a project that began from a template. */
  static async clone(project) {
    const repository = new Repository(project);
    await mkdir(repository.folder, { recursive: true });
    await repository.git('clone', '--quiet', '--origin', 'naru', remote(project), '.');
    await repository.#introduce();
    return repository;
  }

  async #introduce() {
    await this.git('config', 'user.name', '김민지');
    await this.git('config', 'user.email', 'minji@example.com');
  }

  async write(path, text) {
    const file = join(this.folder, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
  }

  async push(message) {
    await this.git('add', '--all');
    await this.git('commit', '--quiet', '--message', message);
    await this.git('push', '--quiet', 'naru', 'HEAD:main');
  }

  async git(...words) {
    // What a person has typed once; the token is read from the environment and is in no command line and no file.
    const helper = '!f() { echo "username=$NARU_LOGIN"; echo "password=$NARU_TOKEN"; }; f';
    const environment = {
      PATH: process.env.PATH,
      HOME: instance.work,
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_TERMINAL_PROMPT: '0',
      NO_PROXY: '127.0.0.1,localhost',
      NARU_LOGIN: administrator.login,
      NARU_TOKEN: administrator.token ?? '',
    };
    const { stdout } = await run('git', ['-c', `credential.helper=${helper}`, ...words], { cwd: this.folder, env: environment });
    return stdout;
  }
}

const remote = (project) => `${instance.url}/git/${project}.git`;
