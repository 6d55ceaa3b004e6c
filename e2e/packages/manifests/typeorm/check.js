'use strict';
module.exports = { storage: require('typeorm').getMetadataArgsStorage() === require('typeorm').getMetadataArgsStorage() };
