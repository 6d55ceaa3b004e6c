'use strict';
// debug 2 is express's own, debug 4 ours.
module.exports = { ours: typeof require('debug').default, uuid: require('uuid').v4 !== require('uuid9').v4 };
