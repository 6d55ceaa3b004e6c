'use strict';
// Where things are in a build sandbox, and what every part of the driver says when it refuses.

const WORK = '/work'; // a tmpfs, all that a job may write beside /tmp
const NPM = '/lib/node_modules/npm';
const REGISTRY = 'http://127.0.0.1:4873/';

/** A call that cannot be answered, with the status and the words that the host gets. */
class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

module.exports = { WORK, NPM, REGISTRY, Refused };
