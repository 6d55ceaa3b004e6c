'use strict';
require('reflect-metadata');
const { HttpException, NotFoundException } = require('@nestjs/common');
module.exports = { same: new NotFoundException() instanceof HttpException, rx: require('@nestjs/microservices').RpcException !== undefined };
