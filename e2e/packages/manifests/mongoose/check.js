'use strict';
module.exports = { same: new (require('mongoose').Types.ObjectId)() instanceof require('mongodb').ObjectId };
