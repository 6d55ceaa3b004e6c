'use strict';
module.exports = { apart: require('rxjs').of(1) instanceof require('rxjs6').Observable };
