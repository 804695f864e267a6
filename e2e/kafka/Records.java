import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.LongSerializer;

/**
 * Records that are numbers.
 *
 * <p>{@code produce BROKERS TOPIC PARTITIONS} sends 0, 1, 2 and so on, one every 5 ms, to one partition after the other until its stdin ends. It
 * prints "sent N" for each before it sends it, "acked N" when all replicas have acknowledged it, or "lost N WHY" when Kafka gave it up.
 *
 * <p>{@code consume BROKERS TOPIC GROUP} reads as a member of that group from the beginning until every partition has come to the end that it had at
 * first, prints "read PARTITION N" for each record, and "committed" when its offsets are.
 */
final class Records {
    private static final long PACE_MS = 5;
    private static final Duration PATIENCE = Duration.ofSeconds(30);

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "produce" -> produce(args[1], args[2], Integer.parseInt(args[3]));
            case "consume" -> consume(args[1], args[2], args[3]);
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    private static void produce(String brokers, String topic, int partitions) throws Exception {
        CompletableFuture<Void> asked = CompletableFuture.runAsync(Records::untilStdinEnds);
        Map<String, Object> config = Map.of("bootstrap.servers", brokers, "acks", "all", "enable.idempotence", true,
            "delivery.timeout.ms", 60_000, "request.timeout.ms", 5_000);
        try (var producer = new KafkaProducer<>(config, new LongSerializer(), new LongSerializer())) {
            for (long n = 0; !isOver(asked); n++) {
                long number = n;
                System.out.println("sent " + n);
                producer.send(new ProducerRecord<>(topic, (int) (n % partitions), n, n),
                    (where, why) -> System.out.println(why == null ? "acked " + number : "lost " + number + " " + why));
            }
            producer.flush();
        }
        System.out.println("flushed");
    }

    private static boolean isOver(CompletableFuture<Void> asked) throws Exception {
        try {
            asked.get(PACE_MS, TimeUnit.MILLISECONDS);
            return true;
        } catch (TimeoutException e) {
            return false;
        }
    }

    private static void untilStdinEnds() {
        try {
            System.in.transferTo(OutputStream.nullOutputStream());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void consume(String brokers, String topic, String group) {
        Map<String, Object> config = Map.of("bootstrap.servers", brokers, "group.id", group, "auto.offset.reset", "earliest",
            "enable.auto.commit", false);
        try (var consumer = new KafkaConsumer<>(config, new LongDeserializer(), new LongDeserializer())) {
            var partitions = consumer.partitionsFor(topic).stream().map(p -> new TopicPartition(topic, p.partition())).toList();
            var ends = consumer.endOffsets(partitions);
            consumer.subscribe(List.of(topic));
            long deadline = System.nanoTime() + PATIENCE.toNanos();
            while (!consumer.assignment().containsAll(partitions) || partitions.stream().anyMatch(p -> consumer.position(p) < ends.get(p))) {
                if (System.nanoTime() > deadline) {
                    throw new IllegalStateException("not at " + ends + " after " + PATIENCE);
                }
                for (ConsumerRecord<Long, Long> r : consumer.poll(Duration.ofMillis(100))) {
                    System.out.println("read " + r.partition() + " " + r.value());
                }
            }
            consumer.commitSync();
        }
        System.out.println("committed");
    }

    private Records() {}
}
