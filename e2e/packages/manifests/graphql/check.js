'use strict';
const { GraphQLSchema } = require('graphql');
const schema = require('@graphql-tools/schema').makeExecutableSchema({ typeDefs: 'type Query { a: Int }' });
module.exports = { same: schema instanceof GraphQLSchema, yoga: require('graphql-yoga').createSchema({ typeDefs: 'type Query { a: Int }' }) instanceof GraphQLSchema };
