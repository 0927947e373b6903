import { Bucket } from "sst/node/bucket";

export const handler = async (event: { pathParameters?: { id?: string } }) => ({
  statusCode: 200,
  body: JSON.stringify({ id: event.pathParameters?.id, bucket: Bucket.statements.bucketName }),
});
